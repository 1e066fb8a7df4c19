/**
 * The data map of a layer, the one thing that formats, engine and native code share.
 */
export {
  encodeUnitTable,
  UNIT_HEADER_SIZE,
  UNIT_RECORD_SIZE,
  UNIT_TABLE_VERSION,
  UNIT_TRAILER_SIZE,
  type Unit,
  type UnitCodec,
  UnitTable,
  type UnitTableFacts,
  unitCodecs,
} from "./unit-table.js";
