import pytest, traceback
from tests.e2e.following import *
from tests.e2e.serving import *
from ladestrom.errors import LogFailure
def st(n, ids, c="NOR"):
    return station(f"{c}_{n:05d}", c, (10.0,60.0), [evse(i, party="NOALF") for i in ids])
A=["NO*ALF*E1*1","NO*ALF*E1*2"]; B=["NO*ALF*E2*1"]
@pytest.mark.parametrize("sel", [{}, {"evse":"NO*ALF*E1*2"}, {"status":"AVAILABLE,UNKNOWN"}, {"operator":"NOALF"},{"station":"NOR_00001"}])
def test_removed_evse(tmp_path, sel):
    with Serving(tmp_path, stations=[st(1,A), st(2,B)]) as server:
        with Follower(server, sel) as f:
            f.synced(); f.confirmed(server)
            server.import_stations([st(1,A[:1]), st(2,B)]); server.in_step()
            seq=settled(server)
            f.confirmed(server)
            print(f.changes, f.board)
            assert f.board == listed(server, urlencode(sel))
            server.import_stations([st(1,A), st(2,B)]); server.in_step()
            f.confirmed(server)
            assert f.board == listed(server, urlencode(sel))
@pytest.mark.parametrize("sel", [{}, {"evse":"NO*ALF*E1*2"}, {"station":"NOR_00001"}, {"station":"NOR_00002"}])
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("away", [True, False])
def test_moved_evse(tmp_path, sel, mode, away):
    with Serving(tmp_path, stations=[st(1,A), st(2,B)]) as server:
        report(server, A[1], "CHARGING")
        settled(server)
        f=Follower(server, sel, mode=mode)
        f.synced(); f.confirmed(server)
        if away: f.wire.close()
        server.import_stations([st(1,A[:1]), st(2,B+A[1:])]); server.in_step()
        seq=report(server, A[0], "CHARGING")
        settled(server)
        if away: f=Follower(server, session=f.session)
        f.confirmed(server)
        print(f.changes, f.board)
        assert f.board == listed(server, urlencode(sel))
        f.wire.close()
@pytest.mark.parametrize("left", [[st(1,A[:1]), st(2,B)], [st(1,A)], [st(1,A),st(2,A[:0])]])
def test_window(tmp_path, monkeypatch, left):
    with Serving(tmp_path, stations=[st(1,A), st(2,B)]) as server:
        server.expected=("append failed",)
        report(server, B[0], "CHARGING")
        with Follower(server) as f:
            f.synced(); f.confirmed(server)
            async def fails(changes): raise LogFailure("no")
            with monkeypatch.context() as p:
                p.setattr(server.app.log, "append", fails)
                server.import_stations(left)
                until(lambda: server.app.hub.failed_appends>0, "failed")
                with Follower(server) as g:
                    g.synced()
                    for x in (f, g):
                        try:
                            x.confirmed(server)
                            print("in window ok")
                        except AssertionError as e: print("WINDOW", str(e)[:600]); x.session.open()
            server.in_step()
            with Follower(server) as h:
                h.synced()
                h.confirmed(server)
            f.confirmed(server)
