import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

const NANOSECONDS = 1_000_000_000n;

/** Undefined for no time, and for Go's zero time, which is before 1970. */
export function timeOf(timestamp: Timestamp | undefined): bigint | undefined {
  if (timestamp === undefined || timestamp.seconds < 0n) return undefined;
  return timestamp.seconds * NANOSECONDS + BigInt(timestamp.nanos);
}

export function timestampMessage(nanoseconds: bigint): MessageInitShape<typeof TimestampSchema> {
  return { seconds: nanoseconds / NANOSECONDS, nanos: Number(nanoseconds % NANOSECONDS) };
}
