/**
 * The data map of a layer, the one thing that formats, engine and native code share.
 */
export { type IndexedSpan, readSpans, type SpanUnits, unitsOfSpans } from "./indexed-spans.js";
export {
  type DigestOf,
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
  WINDOW_SIZE,
} from "./unit-table.js";
