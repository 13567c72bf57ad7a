/** Standards of connectors and countries, as people say them. */

import { language } from "../base/words.js";

/** After OCPI 2.2.1, section 8.4.6 (ConnectorType). @type {Record<string, string>} */
const PLUGS = {
  CHADEMO: "CHAdeMO",
  CHAOJI: "ChaoJi",
  DOMESTIC_E: "Schuko (E)",
  DOMESTIC_F: "Schuko (F)",
  GBT_AC: "GB/T AC",
  GBT_DC: "GB/T DC",
  IEC_60309_2_single_16: "CEE 16 A",
  IEC_60309_2_three_16: "CEE 3 × 16 A",
  IEC_60309_2_three_32: "CEE 3 × 32 A",
  IEC_60309_2_three_64: "CEE 3 × 64 A",
  IEC_62196_T1: "Type 1",
  IEC_62196_T1_COMBO: "CCS (Type 1)",
  IEC_62196_T2: "Type 2",
  IEC_62196_T2_COMBO: "CCS",
  IEC_62196_T3A: "Type 3A",
  IEC_62196_T3C: "Type 3C",
  MCS: "MCS",
  NEMA_5_20: "NEMA 5-20",
  SAE_J3400: "NACS",
  TESLA_R: "Tesla Roadster",
  TESLA_S: "Tesla",
};

/** @param {string} standard */
export const plugName = (standard) => PLUGS[standard] ?? standard.replaceAll("_", " ").toLowerCase();

/** Alpha-2 codes of the countries of Europe by the three letters that uuids begin with. @type {Record<string, string>} */
const ALPHA_2 = Object.fromEntries(
  "ALB:AL AND:AD AUT:AT BEL:BE BGR:BG BIH:BA BLR:BY CHE:CH CYP:CY CZE:CZ DAN:DK DEU:DE DNK:DK ESP:ES EST:EE FIN:FI FRA:FR FRO:FO GBR:GB GRC:GR HRV:HR HUN:HU IRL:IE ISL:IS ITA:IT LIE:LI LTU:LT LUX:LU LVA:LV MCO:MC MDA:MD MKD:MK MLT:MT MNE:ME NLD:NL NOR:NO POL:PL PRT:PT ROU:RO SMR:SM SRB:RS SVK:SK SVN:SI SWE:SE TUR:TR UKR:UA"
    .split(" ")
    .map((pair) => pair.split(":")),
);

const REGIONS = new Intl.DisplayNames(language, { type: "region", fallback: "code" });

/** @param {string} code its three letters */
export function countryName(code) {
  const short = ALPHA_2[code];
  return (short && REGIONS.of(short)) || code;
}
