BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0008');
CREATE TABLE charge_points (
	id TEXT NOT NULL, 
	operator TEXT NOT NULL, 
	station TEXT NOT NULL, 
	evses TEXT NOT NULL, 
	secret_sha256 BLOB NOT NULL, 
	added_at BIGINT NOT NULL, 
	last_seen_at BIGINT, 
	CONSTRAINT pk_charge_points PRIMARY KEY (id), 
	CONSTRAINT fk_charge_points_operator FOREIGN KEY(operator) REFERENCES operators (name), 
	CONSTRAINT fk_charge_points_station FOREIGN KEY(station) REFERENCES stations (uuid)
);
CREATE TABLE evses (
	"key" TEXT NOT NULL, 
	station TEXT NOT NULL, 
	CONSTRAINT pk_evses PRIMARY KEY ("key"), 
	CONSTRAINT fk_evses_station FOREIGN KEY(station) REFERENCES stations (uuid)
);
INSERT INTO "evses" VALUES('NOALFE13331','NOR_01333');
INSERT INTO "evses" VALUES('NOALFE13332','NOR_01333');
INSERT INTO "evses" VALUES('NOALFE1342','NOR_01342');
INSERT INTO "evses" VALUES('NOR_01523_01','NOR_01523');
INSERT INTO "evses" VALUES('NOR_01523_02','NOR_01523');
INSERT INTO "evses" VALUES('SEBETE71','SWE_00007');
INSERT INTO "evses" VALUES('DKBETE111','DAN_00011');
INSERT INTO "evses" VALUES('FIGAME211','FIN_00021');
INSERT INTO "evses" VALUES('NOALFE20011','NOR_02001');
CREATE TABLE keys (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	secret_sha256 BLOB NOT NULL, 
	scopes TEXT NOT NULL, 
	operator TEXT, 
	created_at BIGINT NOT NULL, 
	expires_at BIGINT, 
	revoked_at BIGINT, 
	last_used_at BIGINT, email TEXT, purpose TEXT, self_made BOOLEAN DEFAULT 0 NOT NULL, approved_at BIGINT, 
	CONSTRAINT pk_keys PRIMARY KEY (id), 
	CONSTRAINT fk_keys_operator FOREIGN KEY(operator) REFERENCES operators (name)
);
CREATE TABLE numbers (
	country TEXT NOT NULL, 
	next BIGINT NOT NULL, 
	CONSTRAINT pk_numbers PRIMARY KEY (country)
);
INSERT INTO "numbers" VALUES('NOR',900001);
INSERT INTO "numbers" VALUES('SWE',900001);
INSERT INTO "numbers" VALUES('DAN',900001);
INSERT INTO "numbers" VALUES('FIN',900001);
CREATE TABLE ocpi_locations (
	operator TEXT NOT NULL, 
	id TEXT NOT NULL, 
	document BLOB NOT NULL, 
	changed_at BIGINT NOT NULL, 
	CONSTRAINT pk_ocpi_locations PRIMARY KEY (operator, id), 
	CONSTRAINT fk_ocpi_locations_operator FOREIGN KEY(operator) REFERENCES operators (name)
);
CREATE TABLE ocpi_peers (
	id TEXT NOT NULL, 
	operator TEXT NOT NULL, 
	state TEXT NOT NULL, 
	token_sha256 BLOB NOT NULL, 
	their_token TEXT, 
	their_url TEXT, 
	version TEXT, 
	endpoints TEXT NOT NULL, 
	roles TEXT NOT NULL, 
	made_at BIGINT NOT NULL, 
	registered_at BIGINT, 
	CONSTRAINT pk_ocpi_peers PRIMARY KEY (id), 
	CONSTRAINT fk_ocpi_peers_operator FOREIGN KEY(operator) REFERENCES operators (name)
);
CREATE TABLE operators (
	name TEXT NOT NULL, 
	parties TEXT NOT NULL, 
	prefixes TEXT NOT NULL, 
	"all" BOOLEAN NOT NULL, 
	stale_after_s BIGINT, 
	added_at BIGINT NOT NULL, 
	changed_at BIGINT NOT NULL, may_register BOOLEAN DEFAULT 0 NOT NULL, max_age_s BIGINT, by_receipt BOOLEAN DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_operators PRIMARY KEY (name)
);
INSERT INTO "operators" VALUES('alfa','["NOALF"]','["NOR_01523"]',0,NULL,1796078838504,1796078838504,0,NULL,0);
INSERT INTO "operators" VALUES('beta','["SEBET","DKBET"]','[]',0,NULL,1796078838518,1796078838518,0,NULL,0);
CREATE TABLE readings (
	evse TEXT NOT NULL, 
	status TEXT NOT NULL, 
	error BOOLEAN NOT NULL, 
	observed_at BIGINT NOT NULL, 
	raw TEXT NOT NULL, 
	revision BIGINT NOT NULL, 
	CONSTRAINT pk_readings PRIMARY KEY (evse), 
	CONSTRAINT fk_readings_evse FOREIGN KEY(evse) REFERENCES evses ("key") ON DELETE CASCADE
);
CREATE TABLE revision (
	id INTEGER NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_revision PRIMARY KEY (id)
);
INSERT INTO "revision" VALUES(1,12);
CREATE TABLE sources (
	name TEXT NOT NULL, 
	operator TEXT NOT NULL, 
	protocol TEXT NOT NULL, 
	address TEXT NOT NULL, 
	options TEXT NOT NULL, 
	secret TEXT, 
	certificate TEXT, 
	certificate_key TEXT, 
	poll_s BIGINT, 
	paused_at BIGINT, 
	memory TEXT NOT NULL, 
	added_at BIGINT NOT NULL, 
	changed_at BIGINT NOT NULL, max_age_s BIGINT, by_receipt BOOLEAN, 
	CONSTRAINT pk_sources PRIMARY KEY (name), 
	CONSTRAINT fk_sources_operator FOREIGN KEY(operator) REFERENCES operators (name)
);
CREATE TABLE stations (
	uuid TEXT NOT NULL, 
	register TEXT NOT NULL, 
	native_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	country TEXT NOT NULL, 
	latitude DOUBLE NOT NULL, 
	longitude DOUBLE NOT NULL, 
	operator TEXT, 
	address TEXT, 
	city TEXT, 
	layout TEXT NOT NULL, 
	vanished_at BIGINT, 
	revision BIGINT NOT NULL, told BIGINT DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_stations PRIMARY KEY (uuid)
);
INSERT INTO "stations" VALUES('NOR_01333','nobil','NOR_01333','Station NOR_01333','NOR',59.91,10.75,'Beta Laddning',NULL,NULL,'[[["NOALFE13331","NO*ALF*E1333*1",null,"NOALF"],["NOALFE13332","NO*ALF*E1333*2",null,"NOALF"]],[[0,"IEC_62196_T2_COMBO",150.0],[1,"IEC_62196_T2_COMBO",150.0],[1,"IEC_62196_T2_COMBO",150.0]]]',NULL,12,5955530679475408291);
INSERT INTO "stations" VALUES('NOR_01342','nobil','NOR_01342','Station NOR_01342','NOR',60.39,5.32,NULL,NULL,NULL,'[[["NOALFE1342","NO*ALF*E1342","7381cc78-a032-4f23-a46f-3e0ebe4590ff","NOALF"]],[[0,"IEC_62196_T2_COMBO",150.0]]]',NULL,1,2146908614066835880);
INSERT INTO "stations" VALUES('NOR_01523','nobil','NOR_01523','Station NOR_01523','NOR',69.65,18.95,NULL,NULL,NULL,'[[["NOR_01523_01",null,null,null],["NOR_01523_02",null,null,null]],[[0,"IEC_62196_T2_COMBO",150.0],[1,"IEC_62196_T2_COMBO",150.0]]]',NULL,1,7621003631962527717);
INSERT INTO "stations" VALUES('SWE_00007','nobil','SWE_00007','Station SWE_00007','SWE',59.33,18.07,'Beta Laddning',NULL,NULL,'[[["SEBETE71","SE*BET*E7*1",null,"SEBET"]],[[0,"IEC_62196_T2_COMBO",150.0]]]',NULL,1,5618991347621160079);
INSERT INTO "stations" VALUES('DAN_00011','nobil','DAN_00011','Station DAN_00011','DAN',55.68,12.57,NULL,NULL,NULL,'[[["DKBETE111","DK*BET*E11*1",null,"DKBET"]],[[0,"IEC_62196_T2_COMBO",150.0]]]',NULL,1,4262345692019954993);
INSERT INTO "stations" VALUES('FIN_00021','nobil','FIN_00021','Station FIN_00021','FIN',60.17,24.94,'Gamma Lataus',NULL,NULL,'[[["FIGAME211","FI*GAM*E21*1",null,"FIGAM"]],[[0,"IEC_62196_T2_COMBO",150.0]]]',NULL,1,3363876343928946198);
INSERT INTO "stations" VALUES('NOR_02001','nobil','NOR_02001','Station NOR_02001','NOR',59.8,10.6,NULL,NULL,NULL,'[[["NOALFE20011","NO*ALF*E2001*1",null,"NOALF"]],[[0,"IEC_62196_T2_COMBO",150.0]]]',1796078840449,12,2736519509937251129);
CREATE INDEX ix_stations_register_native_id ON stations (register, native_id);
CREATE INDEX ix_stations_revision ON stations (revision);
CREATE INDEX ix_evses_station ON evses (station);
CREATE INDEX ix_readings_revision ON readings (revision);
COMMIT;
