import { FlatBuffer } from "./flatbuffer-reader.js";
import { FlatWriter } from "./flatbuffer-writer.js";
import { DATA_BYTES_MAX } from "./limits.js";
import { refuseZtoc } from "./refusal.js";
import { fields } from "./ztoc.js";

/** Its number goes with that of the gzip checkpoints. */
const VERSION = 2;

/** Spans of a tar that is not compressed: equal pieces of the blob. */
export interface TarZinfo {
  readonly spanSize: number;
  /** Bytes of the blob. */
  readonly size: number;
}

/** @throws as readZtoc() */
export function readTarZinfo(bytes: Buffer): TarZinfo {
  const table = new FlatBuffer(bytes).root();
  const version = table.int32(fields.tarZinfo.version);
  if (version !== VERSION)
    throw refuseZtoc("zinfo-malformed", `want version ${VERSION} of spans, got ${version}`);
  const number = (field: number): number => {
    const value = table.int64(field);
    if (value > 0n && value <= BigInt(DATA_BYTES_MAX)) return Number(value);
    throw refuseZtoc(
      "zinfo-range",
      `want 1 to ${DATA_BYTES_MAX} for the size of a span or tar, got ${value}`,
    );
  };
  return { spanSize: number(fields.tarZinfo.spanSize), size: number(fields.tarZinfo.size) };
}

export function encodeTarZinfo({ spanSize, size }: TarZinfo): Buffer {
  const writer = new FlatWriter();
  writer.startTable(3);
  writer.int32(fields.tarZinfo.version, VERSION);
  writer.int64(fields.tarZinfo.spanSize, spanSize);
  writer.int64(fields.tarZinfo.size, size);
  return writer.finish(writer.endTable());
}
