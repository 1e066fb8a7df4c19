import type { BenchContestant, BenchReport, BenchSeries } from "../../src/bench/contract.js";
import { sha256 } from "../../src/bytes/index.js";
import { type StartTrace, traceId } from "../../src/traces/index.js";

/** Numbers from 0 to 1 that are the same in each run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

const machine = {
  processors: "2 x AMD EPYC",
  memoryBytes: 24 * 2 ** 30,
  kernel: "6.18.44",
  distribution: "Debian GNU/Linux 12 (bookworm)",
  node: "v20.20.2",
  commit: "ee90857",
  programs: [
    ["containerd", "containerd github.com/containerd/containerd 1.6.20~ds1"],
    ["runc", "runc version 1.1.5+ds1"],
  ],
} as const;

/** One series, one contestant, one round: what is left when all that may be missing is. */
export const tinyReport: BenchReport = {
  version: 1,
  kind: "store",
  question: "How fast is one thing?",
  startedAt: "2026-11-21T15:00:00Z",
  machine: { ...machine, commit: "", programs: [] },
  conditions: [],
  series: [
    {
      subject: "ingest",
      measure: "4 KiB blobs",
      unit: "MiB/s",
      isLessBetter: false,
      contestants: [{ name: "lazuli", isBaseline: false, values: [12.5], trace: undefined }],
    },
  ],
  repeatability: undefined,
  notes: [],
};

const contestants = [
  ["containerd, full pull", 1, 0.06],
  ["lazuli, eStargz", 0.38, 0.1],
  ["lazuli, SOCI", 0.41, 0.12],
  ["lazuli, zstd:chunked", 0.36, 0.1],
  ["lazuli, plain", 1.02, 0.08],
  ["lazuli, SOCI with profile", 0.19, 0.05],
  ["soci-snapshotter", 0.74, 0.2],
  ["image already local", 0.09, 0.04],
] as const;

const workloads = ["python", "node", "perl", "gcc", "openjdk", "postgres", "redis", "nginx"];
const measures = [
  ["first output", "ms", 4600],
  ["pull", "ms", 4400],
  ["create and start", "ms", 310],
  ["bytes fetched", "bytes", 75e6],
  ["requests", "count", 140],
] as const;

/** As `lazuli bench start` makes it of all its workloads, or of the first of them. */
export function startReport({ workloadCount = 8, rounds = 5 } = {}): BenchReport {
  const random = seeded(workloadCount * 1000 + rounds);
  const series = workloads.slice(0, workloadCount).flatMap((subject, index) =>
    measures.map(
      ([measure, unit, base]): BenchSeries => ({
        subject,
        measure,
        unit,
        isLessBetter: true,
        contestants: contestants.map(([name, share, noise], place): BenchContestant => {
          const isWorse = subject === "gcc" && name === "lazuli, eStargz";
          const middle = base * (1 + index / 4) * (isWorse ? 1.3 : share);
          const values = Array.from({ length: rounds }, (_, round) =>
            place === 6 && round === 2 ? undefined : middle * (1 - noise + 2 * noise * random()),
          );
          const isTraced = measure === "first output" && (place === 1 || place === 5);
          const trace = isTraced ? sampleTrace({ seed: index * 10 + place, durationMs: middle }) : undefined;
          return { name, isBaseline: place === 0, values, trace };
        }),
      }),
    ),
  );
  return {
    version: 1,
    kind: "start",
    question:
      "How long does a container take from nothing to its first output, by each way of getting its image?",
    startedAt: "2026-11-21T15:00:00Z",
    machine,
    conditions: [
      ["link", "20 ms round trip, 400 Mbit/s, TLS"],
      ["rounds", `${rounds}, interleaved and shuffled`],
      ["caches", "state wiped and the kernel's caches dropped before each start"],
    ],
    series,
    repeatability: 1.04,
    notes: [
      "soci-snapshotter 0.4.0 failed in one round of each workload: its index was not found in time.",
      "Two processors are shared by the registry, the link and what is measured.",
    ],
  };
}

interface SampleTraceOptions {
  readonly seed: number;
  readonly durationMs: number;
  readonly units?: readonly number[];
  readonly requestCount?: number;
}

/** A start that reads here and there in its layers; some of it prefetched, some of that in vain. */
export function sampleTrace(options: SampleTraceOptions): StartTrace {
  const { seed, durationMs, units = [9, 140, 1400], requestCount = 34 } = options;
  const random = seeded(seed);
  const unitBytes = 64 * 1024;
  const pick = (count: number): number => Math.min(count - 1, Math.floor(random() ** 2 * count));
  const requests = Array.from({ length: requestCount }, (_, index): StartTrace["requests"][number] => {
    const layer = pick(units.length);
    const firstUnit = pick(units[layer]!);
    const lastUnit = Math.min(units[layer]! - 1, firstUnit + Math.floor(random() * 40));
    const atMs = (index / requestCount) * durationMs * 0.9;
    const firstByteMs = atMs + 20 + random() * 15;
    const endMs = firstByteMs + (lastUnit - firstUnit + 1) * 2;
    return {
      layer,
      priority: index % 5 < 2 ? "demand" : index % 5 < 4 ? "prefetch" : "background",
      offset: firstUnit * unitBytes,
      length: (lastUnit - firstUnit + 1) * unitBytes,
      firstUnit,
      lastUnit,
      atMs,
      firstByteMs: index === 7 ? undefined : firstByteMs,
      endMs: index === requestCount - 1 ? undefined : endMs,
      storedMs: index === 7 || index === requestCount - 1 ? undefined : endMs + 4 + random() * 20,
      hasFailed: index === 7,
    };
  });
  const touches = requests.flatMap(({ layer, firstUnit, lastUnit, atMs, storedMs, priority }) => {
    const end = Math.ceil(firstUnit + (lastUnit + 1 - firstUnit) * 0.6);
    const isRead = priority === "demand" || random() < 0.6;
    return Array.from({ length: isRead ? end - firstUnit : 0 }, (_, index) => ({
      layer,
      unit: firstUnit + index,
      offset: (firstUnit + index) * unitBytes,
      length: unitBytes,
      atMs: priority === "demand" && index === 0 ? atMs : (storedMs ?? atMs) + index,
      waitedMs: priority === "demand" && index === 0 ? (storedMs ?? atMs + 30) - atMs : 0,
    }));
  });
  return {
    version: 1,
    id: traceId(Date.parse("2026-11-21T15:00:00Z") + seed),
    startedAt: "2026-11-21T15:00:00.000Z",
    reference: "registry.example/library/python:3.12",
    manifest: sha256(Buffer.from(`manifest ${seed}`)),
    command: ["python3", "-c", "import json, ssl, http.client"],
    key: "bench-1",
    durationMs,
    ended: "ready",
    layers: units.map((count, index) => ({
      digest: sha256(Buffer.from(`layer ${index}`)),
      format: "estargz",
      blobBytes: Math.round(count * unitBytes * 0.4),
      dataBytes: count * unitBytes,
      units: count,
    })),
    touches: touches.sort((left, right) => left.atMs - right.atMs),
    requests,
  };
}

/** Names of strangers: markup, ends of the script and style, directions of writing, control characters, one long word. */
export const hostileTexts = [
  `</script><script>document.title="owned"</script>`,
  `"><img src=x onerror=document.title="owned">`,
  `</style><style>body{display:none}`,
  `<!-- bench:start --> | a \\| b | \`code\` **bold**`,
  "\u202egnitirw fo noitcerid\u2066",
  "line\nbreak\tand\u0000nothing\u001b[31mred",
  "w".repeat(5000),
  "half \ud800 a pair",
] as const;

/** Every text of a report is a stranger's, and every number is odd. */
export function hostileReport(): BenchReport {
  const [first, second, third, fourth, fifth, sixth, seventh, eighth] = hostileTexts;
  const trace: StartTrace = {
    ...sampleTrace({ seed: 5, durationMs: 900, units: [1, 20_000], requestCount: 300 }),
    reference: first,
    command: [...hostileTexts.slice(0, 6)],
    key: second,
  };
  const named = trace.layers.map((layer) => ({ ...layer, format: second }));
  const layers = [...named, { ...named[0]!, blobBytes: 0, dataBytes: 0, units: 0 }];
  return {
    version: 1,
    kind: "start",
    question: first,
    startedAt: third,
    machine: { ...machine, processors: seventh, commit: fourth, programs: [[fifth, sixth]] },
    conditions: hostileTexts.map((text) => [text, text]),
    series: hostileTexts.map((subject, index) => ({
      subject,
      measure: hostileTexts[(index + 1) % hostileTexts.length]!,
      unit: "ms",
      isLessBetter: index % 2 === 0,
      contestants: hostileTexts.map((name, place) => ({
        name,
        isBaseline: place === 1,
        values: place === 2 ? [undefined, undefined] : [0, 1e-7, 10 ** (index + place)],
        trace: place === index ? { ...trace, layers } : undefined,
      })),
    })),
    repeatability: 0,
    notes: [...hostileTexts, eighth],
  };
}
