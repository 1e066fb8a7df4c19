import { randomBytes } from "node:crypto";

const pattern = /^\d{8}T\d{9}Z-[0-9a-f]{6}$/;

/** A new name for a trace: its time in UTC, then chance, so that names sort by time. */
export function traceId(startedAtMs: number): string {
  const at = new Date(startedAtMs).toISOString().replace(/[-:.]/g, "");
  return `${at}-${randomBytes(3).toString("hex")}`;
}

export function isTraceId(text: string): boolean {
  return pattern.test(text);
}
