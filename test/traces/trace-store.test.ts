import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { LazuliError } from "../../src/errors/index.js";
import { logChannel } from "../../src/observe/index.js";
import {
  decodeTrace,
  encodeTrace,
  openTraceStore,
  TOUCHES_MAX,
  traceFigures,
  traceId,
  traceSavedChannel,
} from "../../src/traces/index.js";
import { sampleTrace } from "./sample-trace.js";

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-traces-"));
  try {
    await use(join(folder, "traces"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

t.test("save() keeps a trace that the next process finds, and tells of it", async (t) => {
  await withFolder(async (folder) => {
    const saved: string[] = [];
    using _listening = traceSavedChannel.subscribe(({ id }) => saved.push(id));
    const store = await openTraceStore({ folder });
    const trace = sampleTrace();
    const later = sampleTrace({
      startedAt: "2026-11-21T11:00:00.000Z",
      reference: "registry.example/node:22",
      manifest: undefined,
      command: undefined,
    });
    await store.save(later);
    await store.save(trace);
    t.same(saved, [later.id, trace.id]);
    const again = await openTraceStore({ folder });
    t.same(
      again.list().map(({ id }) => id),
      [trace.id, later.id],
      "in the order of time",
    );
    t.same(await again.read(trace.id), trace);
    t.same(await again.read(later.id), later);
    t.equal((await again.latest())?.id, later.id);
    t.equal((await again.latest({ manifest: trace.manifest }))?.id, trace.id);
    t.equal((await again.latest({ reference: trace.reference }))?.id, trace.id);
    t.equal(await again.latest({ reference: trace.reference.slice(1) }), undefined);
    t.equal(again.list()[0]?.figures.localTouches, 1);
    await t.rejects(store.read(traceId(0)), { code: "NOT_FOUND", reason: "trace-unknown" });
    await t.rejects(store.read("../../etc/passwd"), { code: "NOT_FOUND" });
  });
});

t.test("save() keeps 16 traces of one image and 64 in all", async (t) => {
  await withFolder(async (folder) => {
    const store = await openTraceStore({ folder });
    for (let index = 0; index < 90; index += 1) {
      const startedAt = new Date(1_800_000_000_000 + index * 1000).toISOString();
      await store.save(sampleTrace({ startedAt, reference: index < 20 ? "often" : `image-${index}` }));
    }
    const kept = store.list();
    t.equal(kept.length, 64);
    t.equal(kept.at(-1)?.reference, "image-89");
    t.equal(kept[0]?.reference, "image-26", "the oldest went");
    t.equal((await readdir(folder)).length, 64);
    for (let index = 0; index < 20; index += 1) {
      const startedAt = new Date(1_900_000_000_000 + index * 1000).toISOString();
      await store.save(sampleTrace({ startedAt, reference: "often" }));
    }
    t.equal(store.list({ reference: "often" }).length, 16);
    t.equal(store.list().length, 64);
  });
});

t.test(
  "openTraceStore() leaves out what is no trace, with a warning, and removes half-written files",
  async (t) => {
    await withFolder(async (folder) => {
      await mkdir(folder);
      const good = sampleTrace();
      const names = [1, 2, 3, 4, 5].map((hour) => traceId(hour * 3_600_000));
      await writeFile(join(folder, `${good.id}.json`), encodeTrace(good));
      await writeFile(join(folder, `${names[0]}.json`), encodeTrace(good).subarray(0, 300));
      await writeFile(join(folder, `${names[1]}.json`), "");
      await truncate(join(folder, `${names[1]}.json`), 1 << 30);
      await symlink("/dev/zero", join(folder, `${names[2]}.json`));
      await mkdir(join(folder, `${names[3]}.json`));
      await writeFile(join(folder, `${names[4]}.json`), `${"[".repeat(100_000)}`);
      await writeFile(join(folder, `${good.id}.json.new`), "half");
      await writeFile(join(folder, "notes.txt"), "an operator's");
      const warned: unknown[] = [];
      using _listening = logChannel.subscribe(({ level, path }) => level === "warn" && warned.push(path));
      const store = await openTraceStore({ folder });
      t.same(
        store.list().map(({ id }) => id),
        [good.id],
      );
      t.same(warned.sort(), names.map((id) => join(folder, `${id}.json`)).sort());
      const left = await readdir(folder);
      t.notOk(left.some((name) => name.endsWith(".new")));
      t.ok(left.includes("notes.txt"));
      await t.rejects(store.read(names[0]!), { code: "NOT_FOUND" });
    });
  },
);

t.test("read() of a file that was damaged meanwhile says so", async (t) => {
  await withFolder(async (folder) => {
    const store = await openTraceStore({ folder });
    const trace = sampleTrace();
    await store.save(trace);
    await truncate(join(folder, `${trace.id}.json`), 100);
    await t.rejects(store.read(trace.id), { code: "DATA_LOSS", reason: "trace-damaged" });
  });
});

t.test("decodeTrace() refuses what would lead its readers astray", async (t) => {
  const trace = sampleTrace();
  const [touch] = trace.touches;
  const [request] = trace.requests;
  const cases: Readonly<Record<string, unknown>> = {
    "another version": { ...trace, version: 2 },
    "a name that is a path": { ...trace, id: "../x" },
    "no digest": { ...trace, manifest: "sha256:zz" },
    "a time that is none": { ...trace, startedAt: "soon" },
    "an unknown end": { ...trace, ended: "never" },
    "a layer that is not there": { ...trace, touches: [{ ...touch, layer: 2 }] },
    "a negative layer": { ...trace, touches: [{ ...touch, layer: -1 }] },
    "a unit that is not there": { ...trace, touches: [{ ...touch, unit: 3 }] },
    "a range past all numbers": { ...trace, touches: [{ ...touch, offset: 2 ** 53 - 1, length: 2 }] },
    "a broken number": { ...trace, touches: [{ ...touch, length: 1.5 }] },
    "a negative time": { ...trace, touches: [{ ...touch, atMs: -1 }] },
    "a text for a time": { ...trace, touches: [{ ...touch, waitedMs: "1" }] },
    "a touch that is null": { ...trace, touches: [null] },
    "units in the wrong order": { ...trace, requests: [{ ...request, firstUnit: 1, lastUnit: 0 }] },
    "an unknown priority": { ...trace, requests: [{ ...request, priority: "urgent" }] },
    "layers without units": { ...trace, layers: trace.layers.map((layer) => ({ ...layer, units: 0 })) },
    "too many touches": { ...trace, touches: Array(TOUCHES_MAX + 1).fill(touch) },
    "a command of numbers": { ...trace, command: [1] },
    "a list": [],
  };
  for (const [name, value] of Object.entries(cases)) {
    t.throws(() => decodeTrace(Buffer.from(JSON.stringify(value))), { code: "DATA_LOSS" }, name);
  }
  t.throws(() => decodeTrace(Buffer.from([0xff, 0xfe])), LazuliError, "no text");
  t.same(decodeTrace(encodeTrace(trace)), trace);
  const rounded = decodeTrace(encodeTrace({ ...trace, durationMs: 1.23456789 }));
  t.equal(rounded.durationMs, 1.235);
});

t.test("traceFigures() counts reads that wait together once for the stall", async (t) => {
  t.same(traceFigures(sampleTrace()), {
    touches: 3,
    touchedBytes: 12_000,
    localTouches: 1,
    localBytes: 3000,
    waitedMs: 80,
    stalledMs: 60,
    requests: 2,
    requestedBytes: 4100,
    failedRequests: 0,
  });
});

t.test("encodeTrace() of the largest trace stays within the budget of its reader", async (t) => {
  await withFolder(async (folder) => {
    const sample = sampleTrace();
    const touches = Array.from({ length: TOUCHES_MAX }, (_, unit) => ({
      layer: 1,
      unit,
      offset: 9_000_000_000_000 + unit,
      length: 4_194_304,
      atMs: 12_345.678,
      waitedMs: 12_345.678,
    }));
    const layers = sample.layers.map((layer) => ({ ...layer, units: TOUCHES_MAX }));
    const requests = Array.from({ length: 8192 }, () => ({
      ...sample.requests[0]!,
      offset: 9_000_000_000_000,
      atMs: 12_345.678,
      storedMs: 12_345.678,
      priority: "background" as const,
    }));
    const store = await openTraceStore({ folder });
    const trace = { ...sample, layers, touches, requests };
    await store.save(trace);
    t.same((await store.read(trace.id)).touches.length, TOUCHES_MAX);
    t.ok((await readFile(join(folder, `${trace.id}.json`))).length < 8 << 20);
  });
});
