import { connect, createServer, type Server } from "node:net";
import t from "tap";
import { LinkThread, seededRandom, shuffled } from "../../src/bench/link/index.js";
import { contestants, planRounds, repeatabilityOf, seriesOf } from "../../src/bench/start/index.js";
import type { Measured } from "../../src/bench/start/measured.js";
import { ContainerWatch } from "../../src/bench/start/watch-container.js";
import { catalogue } from "../../src/bench/workloads/index.js";
import type { Task as ContainerTask } from "../../src/client/index.js";
import type { StartTrace } from "../../src/traces/index.js";

const link = { rttMs: 20, bitsPerSecond: 400e6, jitterMs: 0, breakEveryBytes: undefined };

t.test("seededRandom() gives the same numbers for the same seed, from 0 up to 1", async (t) => {
  const take = (seed: number): number[] => {
    const random = seededRandom(seed);
    return Array.from({ length: 1000 }, () => random());
  };
  t.same(take(7), take(7));
  t.notSame(take(7), take(8));
  t.ok(take(7).every((one) => one >= 0 && one < 1));
  t.ok(new Set(take(7)).size > 990, "they differ");
});

t.test("shuffled() keeps every value once", async (t) => {
  const values = Array.from({ length: 50 }, (_, at) => at);
  const mixed = shuffled(values, seededRandom(3));
  t.notSame(mixed, values);
  t.same(
    [...mixed].sort((left, right) => left - right),
    values,
  );
});

t.test("planRounds() has every start once a round, in an order that the seed decides", async (t) => {
  const options = {
    workloads: catalogue.slice(0, 2),
    contestants: contestants.slice(0, 3),
    links: [link],
    rounds: 2,
    concurrent: undefined,
    mounted: undefined,
  };
  const plan = (seed: number) =>
    planRounds(options, seededRandom(seed)).map(
      ({ round, subject, contestant }) => `${round} ${subject} ${contestant.name}`,
    );
  t.equal(new Set(plan(1)).size, 12);
  t.same(plan(1), plan(1));
  t.notSame(plan(1), plan(2));
  t.ok(
    plan(1)
      .slice(0, 6)
      .every((one) => one.startsWith("0 ")),
    "a round ends before the next begins",
  );
});

t.test("planRounds() names the round trip time where several are measured", async (t) => {
  const links = [link, { ...link, rttMs: 80 }];
  const only = { workloads: catalogue.slice(0, 1), contestants: contestants.slice(0, 1), rounds: 1 };
  const plan = planRounds({ ...only, links, concurrent: undefined, mounted: undefined }, seededRandom(1));
  t.same(plan.map(({ subject }) => subject).sort(), [
    "python, 20 ms round trips",
    "python, 80 ms round trips",
  ]);
});

t.test(
  "planRounds() starts many at once by those that pull, and beside mounted layers by lazuli",
  async (t) => {
    const names = ["containerd", "containerd-local", "lazuli-estargz", "lazuli-plain"];
    const chosen = contestants.filter(({ name }) => names.includes(name));
    const options = { workloads: catalogue.slice(0, 1), links: [link], rounds: 1 };
    const plan = planRounds({ ...options, contestants: chosen, concurrent: 5, mounted: 9 }, seededRandom(1));
    const of = (kind: string): string[] =>
      plan
        .filter((task) => task.kind === kind)
        .map(({ contestant }) => contestant.name)
        .sort();
    t.same(of("concurrent"), ["containerd", "lazuli-estargz", "lazuli-plain"]);
    t.same(of("mounted"), ["lazuli-estargz"]);
  },
);

function measured(contestant: string, round: number, readyMs: number | undefined): Measured {
  const figures = {
    pullMs: 1,
    createMs: 1,
    runMs: 1,
    firstOutputMs: undefined,
    readyMs: readyMs ?? 0,
    bytesFetched: 10,
    requests: 2,
    fuseMessages: undefined,
    cpuMs: 10,
    residentBytes: 100,
  };
  const failed = readyMs === undefined;
  const nothing = { figures: undefined, trace: undefined, brought: undefined };
  return { subject: "python", contestant, round, ...nothing, ...(failed ? {} : { figures }) };
}

t.test("seriesOf() has a value a round, none for a round that failed, and one baseline", async (t) => {
  const all = [measured("b", 1, 30), measured("a", 0, 10), measured("b", 0, 20), measured("a", 1, undefined)];
  const series = seriesOf(all, { baseline: "b", rounds: 2 });
  const ready = series.find(({ measure }) => measure === "ready");
  t.same(
    ready?.contestants.map(({ name, values, isBaseline }) => [name, values, isBaseline]),
    [
      ["b", [20, 30], true],
      ["a", [10, undefined], false],
    ],
  );
  t.notOk(
    series.some(({ measure }) => measure === "first output"),
    "nobody said anything",
  );
});

t.test("seriesOf() tells what was here in time, and what was prefetched in vain", async (t) => {
  const touch = { layer: 0, unit: 0, offset: 0, atMs: 1 };
  const touches = [
    { ...touch, length: 300, waitedMs: 0 },
    { ...touch, unit: 1, length: 100, waitedMs: 20 },
  ];
  const trace = { touches } as unknown as StartTrace;
  const brought = { usedBytes: 90, wasteBytes: 10 };
  const none = { usedBytes: 0, wasteBytes: 0 };
  const all = [
    { ...measured("a", 0, 10), trace, brought },
    { ...measured("b", 0, 10), brought: none },
  ];
  const told = seriesOf(all, { baseline: "a", rounds: 1 })
    .filter(({ unit }) => unit === "%")
    .map(({ isLessBetter, contestants }) => [isLessBetter, contestants.map(({ values }) => values)]);
  t.same(told, [
    [false, [[75]]],
    [true, [[10]]],
  ]);
});

t.test("repeatabilityOf() compares the first rounds with the last ones", async (t) => {
  const of = (values: readonly number[]) =>
    repeatabilityOf(
      seriesOf(
        values.map((value, round) => measured("a", round, value)),
        { baseline: "a", rounds: values.length },
      ),
    );
  t.equal(of([10, 10, 12, 12]), 1.2);
  t.equal(of([12, 12, 10, 10]), 1.2, "whichever is slower");
  t.equal(of([10]), undefined);
});

async function listening(t: { teardown(run: () => Promise<void>): void }): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return server;
}

function portOf(server: Server): number {
  return (server.address() as { port: number }).port;
}

function fakeTask(exit: Promise<{ code: number; exitedAt: undefined }>): ContainerTask {
  return { pid: process.pid, wait: async () => await exit } as unknown as ContainerTask;
}

t.test("ContainerWatch.ready() sees a line, a port and an end", async (t) => {
  const { signal } = new AbortController();
  const never = new Promise<never>(() => undefined);
  const watch = new ContainerWatch();
  const line = watch.ready(fakeTask(never), { kind: "line", text: "ready to go" }, signal);
  t.equal(watch.firstOutputMs, undefined);
  watch.io.stderr?.write("starting, rea");
  watch.io.stderr?.write("dy to go\n");
  t.ok((await line) >= watch.firstOutputMs!);
  const port = portOf(await listening(t));
  t.ok((await new ContainerWatch().ready(fakeTask(never), { kind: "port", port }, signal)) > 0);
  const ended = Promise.resolve({ code: 0, exitedAt: undefined });
  t.ok((await new ContainerWatch().ready(fakeTask(ended), { kind: "exit" }, signal)) > 0);
});

t.test("ContainerWatch.ready() refuses a container that ends before it is ready", async (t) => {
  const { signal } = new AbortController();
  const ended = (code: number) => fakeTask(Promise.resolve({ code, exitedAt: undefined }));
  const failed = { code: "FAILED_PRECONDITION", reason: "container-ended" };
  await t.rejects(new ContainerWatch().ready(ended(3), { kind: "exit" }, signal), failed);
  await t.rejects(new ContainerWatch().ready(ended(0), { kind: "line", text: "x" }, signal), failed);
});

t.test("LinkThread carries bytes from a thread of its own, and counts them anew for each link", async (t) => {
  const port = portOf(await listening(t));
  const links = new LinkThread();
  t.teardown(() => links[Symbol.asyncDispose]());
  const shape = { target: { host: "127.0.0.1", port }, rttMs: 1, bitsPerSecond: 1e9, seed: 1 };
  const first = await links.set(shape);
  const socket = connect(first.port, "127.0.0.1");
  const broken = new Promise<void>((resolve) => {
    socket.once("close", () => resolve());
    socket.on("error", () => undefined);
  });
  socket.write("ping");
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  t.equal((await links.state()).bytesDown, 4);
  const second = await links.set({ ...shape, port: first.port });
  await broken;
  t.same(second, { ...second, port: first.port, bytesDown: 0 });
  await t.rejects(links.set({ ...shape, port }), { code: "UNAVAILABLE", reason: "link-failed" });
});
