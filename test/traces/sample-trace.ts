import { sha256 } from "../../src/bytes/index.js";
import { type StartTrace, traceId } from "../../src/traces/index.js";

/** A small trace of two layers, as a recorder would make it. */
export function sampleTrace(facts: Partial<StartTrace> = {}): StartTrace {
  const startedAt = facts.startedAt ?? "2026-11-21T10:00:00.000Z";
  return {
    version: 1,
    id: traceId(Date.parse(startedAt)),
    startedAt,
    reference: "registry.example/python:3.12",
    manifest: sha256(Buffer.from("manifest")),
    command: ["python3", "-c", "print(1)"],
    key: "container-1",
    durationMs: 10_000,
    ended: "time",
    layers: [
      { digest: sha256(Buffer.from("0")), format: "estargz", blobBytes: 5000, dataBytes: 9000, units: 3 },
      { digest: sha256(Buffer.from("1")), format: "soci", blobBytes: 7000, dataBytes: 12_000, units: 2 },
    ],
    touches: [
      { layer: 0, unit: 0, offset: 0, length: 3000, atMs: 1, waitedMs: 0 },
      { layer: 1, unit: 1, offset: 6000, length: 6000, atMs: 2, waitedMs: 40 },
      { layer: 0, unit: 2, offset: 6000, length: 3000, atMs: 22, waitedMs: 40 },
    ],
    requests: [
      {
        layer: 1,
        priority: "demand",
        offset: 3000,
        length: 4000,
        firstUnit: 1,
        lastUnit: 1,
        atMs: 2.1,
        firstByteMs: 30,
        endMs: 40,
        storedMs: 42,
        hasFailed: false,
      },
      {
        layer: 0,
        priority: "background",
        offset: 0,
        length: 100,
        firstUnit: 2,
        lastUnit: 2,
        atMs: 9,
        firstByteMs: undefined,
        endMs: undefined,
        storedMs: undefined,
        hasFailed: false,
      },
    ],
    ...facts,
  };
}
