import { readFile } from "node:fs/promises";
import t from "tap";
import {
  loadBinding,
  type NativeBinding,
  type NativePlane,
  type PlaneOptions,
} from "../../src/fuse/index.js";
import { decodeBitmap } from "../../src/layer/bitmap-file.js";
import { DescriptorBudget } from "../../src/layer/descriptor-budget.js";
import { chooseGroups, evictRank, isPinnedBy } from "../../src/layer/evict-order.js";
import { tableSha256 } from "../../src/layer/layer-folder.js";
import { parseLayersInUse } from "../../src/layer/layers-in-use.js";
import { BYTES_IN_FLIGHT_MAX, BYTES_IN_FLIGHT_MIN, MIB } from "../../src/layer/limits.js";
import { bytesInFlightFor, MemoryBudget } from "../../src/layer/memory-budget.js";
import { memoryFacts } from "../../src/layer/memory-facts.js";
import { layerPaths } from "../../src/layer/paths.js";
import { SpaceBudget } from "../../src/layer/space-budget.js";
import type { Space, SpaceGroup, SpaceUser } from "../../src/layer/space-contract.js";
import { UnitTable } from "../../src/units/index.js";
import { EngineRig, expectedHashes, hashesBelow, requestOf, until } from "../../testing/layer/engine-rig.js";
import { FakeClock, settle } from "../../testing/layer/fake-clock.js";
import { sampleFiles, sampleLayer } from "../../testing/layer/sample-layer.js";
import { schedulerRig } from "../../testing/layer/scheduler-rig.js";

const KIB = 1024;

/** A busy machine is slow, and nothing here is about time. */
t.setTimeout(120_000);

/** A layer of units of one MiB, without files. */
class FakeUser implements SpaceUser {
  readonly digest = `sha256:${"0".repeat(64)}` as SpaceUser["digest"];
  readonly number: number;
  readonly reference: string;
  readonly dataBytes = 64 * MIB;
  readonly isCostly: boolean;
  /** Units that are here, with their last use. */
  readonly here: Map<number, number>;
  readonly evicted: number[] = [];

  constructor(options: { number: number; here: readonly number[]; isCostly?: boolean; reference?: string }) {
    this.number = options.number;
    this.reference = options.reference ?? `registry.example/${options.number}:1`;
    this.isCostly = options.isCostly ?? false;
    this.here = new Map(options.here.map((lastUse, unit) => [unit, lastUse]));
  }

  usedBytes(): number {
    return this.here.size * MIB;
  }

  async measure(): Promise<void> {}

  async sweep(): Promise<void> {}

  groups(): readonly SpaceGroup[] {
    return [...this.here].map(([unit, lastUse]) => ({ first: unit, last: unit, lastUse, bytes: MIB }));
  }

  async evict(ranges: readonly { readonly first: number }[]): Promise<number> {
    for (const { first } of ranges) {
      this.here.delete(first);
      this.evicted.push(first);
    }
    return ranges.length * MIB;
  }
}

function spaceOf(options: { limit: number; inUse?: readonly number[]; pinned?: readonly string[] }) {
  const clock = new FakeClock();
  let wakes = 0;
  const space = new SpaceBudget({
    limit: { bytes: options.limit },
    limitBytes: options.limit,
    highWater: 0.9,
    lowWater: 0.5,
    pinned: options.pinned ?? [],
    clock,
    inUse: async () => new Set(options.inUse ?? []),
    wake: () => {
      wakes += 1;
    },
  });
  return { space, clock, wakes: () => wakes };
}

t.test("admits() lets demands to the limit, prefetches to the high water, the background to the low", (t) => {
  const { space } = spaceOf({ limit: 10 * MIB });
  space.add(new FakeUser({ number: 1, here: [1, 2, 3, 4] }));
  t.equal(space.roomFor("demand"), 6 * MIB);
  t.equal(space.roomFor("prefetch"), 5 * MIB);
  t.equal(space.roomFor("background"), MIB);
  space.reserve(2 * MIB);
  t.notOk(space.admits(1, "background"));
  t.ok(space.admits(3 * MIB, "prefetch"));
  t.notOk(space.admits(3 * MIB + 1, "prefetch"));
  t.ok(space.admits(4 * MIB, "demand"));
  space.close();
  t.end();
});

t.test("admits() makes a demand wait until what was not used for longest is given up", async (t) => {
  const { space, wakes } = spaceOf({ limit: 10 * MIB });
  const user = new FakeUser({ number: 1, here: [9, 3, 8, 1, 7, 6, 5, 4, 2, 10] });
  space.add(user);
  t.notOk(space.admits(2 * MIB, "demand"));
  const before = wakes();
  await settle();
  t.same(user.evicted, [3, 8, 1, 7, 6], "the oldest five, down to the low water");
  t.ok(wakes() > before);
  t.ok(space.admits(2 * MIB, "demand"));
  t.equal(space.figures.evictedBytes, 5 * MIB);
  t.equal(space.figures.usedBytes, 5 * MIB);
  space.close();
});

t.test(
  "a round takes idle layers first, then costly ones, then running ones, then pinned ones",
  async (t) => {
    const pinned = ["registry.example/pinned*"];
    const { space } = spaceOf({ limit: 8 * MIB, inUse: [2], pinned });
    const running = new FakeUser({ number: 2, here: [1, 1] });
    const costly = new FakeUser({ number: 3, here: [5, 6], isCostly: true });
    const idle = new FakeUser({ number: 4, here: [7] });
    const last = new FakeUser({ number: 5, here: [0, 0, 0], reference: "registry.example/pinned:1" });
    for (const user of [last, running, costly, idle]) space.add(user);
    t.notOk(space.admits(MIB, "demand"));
    await settle();
    t.same([idle.evicted, costly.evicted, running.evicted, last.evicted], [[0], [0, 1], [0], []]);
    t.equal(evictRank(costly, { inUse: new Set([3]), isPinned: () => false }), 3);
    t.ok(isPinnedBy([idle.digest], idle));
    t.notOk(isPinnedBy(["registry.example/4"], idle), "a reference without a star is meant as it is");
    t.equal(chooseGroups([idle], MIB).size, 0, "it has nothing left");
    space.close();
  },
);

t.test("admits() lets readers beyond the limit where nothing can be given up", async (t) => {
  const { space, clock } = spaceOf({ limit: 2 * MIB });
  const stuck = new FakeUser({ number: 1, here: [1, 2] });
  stuck.evict = async () => 0;
  space.add(stuck);
  t.notOk(space.admits(MIB, "demand"));
  await settle();
  t.ok(space.admits(MIB, "demand"), "nothing hangs");
  t.notOk(space.admits(MIB, "prefetch"));
  t.equal(space.figures.overdrafts, 1);
  await clock.advance(1_000);
  t.notOk(space.admits(MIB, "demand"), "and it is tried again after a while");
  await settle();
  space.close();
});

t.test("makeRoom() gives up bytes under no limit too, and keeps the disk for readers a while", async (t) => {
  const { space, clock } = spaceOf({ limit: Number.POSITIVE_INFINITY });
  const user = new FakeUser({ number: 1, here: Array.from({ length: 20 }, (_, unit) => unit) });
  space.add(user);
  t.ok(await space.makeRoom(1));
  t.equal(user.evicted.length, 8);
  t.equal(space.roomFor("prefetch"), 0);
  t.equal(space.roomFor("demand"), Number.POSITIVE_INFINITY);
  await clock.advance(10_001);
  t.ok(space.roomFor("background") > 0);
  t.equal(await space.makeRoomForWhole(1), true);
  space.close();
});

/** Room without end; what is given up is what the test says. */
function spaceOn(options: { readonly gives: boolean; readonly room?: number }): Space & { rounds: number } {
  return {
    rounds: 0,
    roomFor: () => options.room ?? Number.POSITIVE_INFINITY,
    admits: (bytes) => bytes <= (options.room ?? Number.POSITIVE_INFINITY),
    reserve: () => undefined,
    async makeRoom() {
      this.rounds += 1;
      return options.gives;
    },
  };
}

t.test("a unit that finds the disk full is fetched once more after room was made", async (t) => {
  const space = spaceOn({ gives: true });
  const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB, space });
  rig.plane.full.set(2, 1);
  rig.miss(1n, 2, 3);
  await settle();
  t.equal(space.rounds, 1);
  t.equal(rig.plane.failed.length, 0);
  t.ok(rig.plane.present.has(2) && rig.plane.present.has(3));
  t.equal(rig.fetcher.waitingReads, 0);
});

t.test("a read gets EIO where the disk stays full, and the next one starts anew", async (t) => {
  for (const gives of [true, false]) {
    const space = spaceOn({ gives });
    const rig = schedulerRig({ units: 8, unitBytes: 16 * KIB, space });
    rig.plane.full.set(2, 100);
    rig.miss(1n, 2);
    await settle();
    t.equal(space.rounds, 1);
    t.same(rig.plane.failed, [{ reads: [1n], errno: 5 }]);
    t.match(rig.fetcher.lastError, /could not be written/);
    rig.plane.full.clear();
    rig.miss(2n, 2);
    await settle();
    t.ok(rig.plane.present.has(2), "the disk has room again");
    t.equal(rig.plane.failed.length, 1);
  }
});

t.test("a read fetches no more than it needs where there is little room", async (t) => {
  const space = spaceOn({ gives: true, room: 40 * KIB });
  const rig = schedulerRig({ units: 64, unitBytes: 16 * KIB, readaheadMaxBytes: MIB, space });
  rig.miss(1n, 4, 5);
  await settle();
  t.same(
    rig.source.requests.map(({ length }) => length),
    [32 * KIB],
  );
});

t.test("parseLayersInUse() finds the layers below overlays only", (t) => {
  const text = [
    "40 29 0:50 / /run/l/layers/7 ro - erofs none ro",
    "41 29 0:51 / /a rw - overlay overlay rw,lowerdir=/run/l/layers/12:/run/l/layers/3c:/run/l/layers/x,upperdir=/u",
  ].join("\n");
  t.same([...parseLayersInUse(text, "/run/l/layers")], [12, 3]);
  t.end();
});

t.test("memoryFacts() takes the strictest of group and machine (v2, v1, none)", async (t) => {
  const meminfo = "MemTotal:       1000000 kB\nMemAvailable:    600000 kB\n";
  const of = (files: Record<string, string>) =>
    memoryFacts(async (path) => ({ "/proc/meminfo": meminfo, ...files })[path]);
  const v2 = "/sys/fs/cgroup/pod";
  t.same(
    await of({
      "/proc/self/cgroup": "0::/pod\n",
      [`${v2}/memory.current`]: "90000000\n",
      [`${v2}/memory.max`]: "max\n",
      [`${v2}/memory.high`]: "100000000\n",
      [`${v2}/memory.stat`]: "anon 1\ninactive_file 30000000\n",
      [`${v2}/memory.pressure`]: "some avg10=12.50 avg60=1.00\nfull avg10=0.00\n",
    }),
    { limitBytes: 100_000_000, freeBytes: 40_000_000, stallPercent: 12.5 },
  );
  const v1 = "/sys/fs/cgroup/memory";
  t.same(
    await of({
      "/proc/self/cgroup": "3:cpu,memory:/unseen\n",
      [`${v1}/memory.usage_in_bytes`]: "50",
      [`${v1}/memory.limit_in_bytes`]: "80",
      [`${v1}/memory.stat`]: "total_inactive_file 20\n",
    }),
    { limitBytes: 80, freeBytes: 50, stallPercent: 0 },
  );
  t.same(await of({}), { limitBytes: 1_024_000_000, freeBytes: 614_400_000, stallPercent: 0 });
});

t.test("MemoryBudget lowers what requests may hold as memory gets short, and raises it again", async (t) => {
  t.equal(bytesInFlightFor({ limitBytes: 1, freeBytes: 4096 * MIB, stallPercent: 0 }), BYTES_IN_FLIGHT_MAX);
  t.equal(bytesInFlightFor({ limitBytes: 1, freeBytes: 200 * MIB, stallPercent: 0 }), 16 * MIB);
  t.equal(bytesInFlightFor({ limitBytes: 1, freeBytes: 200 * MIB, stallPercent: 30 }), 8 * MIB);
  t.equal(bytesInFlightFor({ limitBytes: 1, freeBytes: 0, stallPercent: 0 }), BYTES_IN_FLIGHT_MIN);
  const shares: number[] = [];
  let freeBytes = 64 * MIB;
  const memory = new MemoryBudget({
    clock: new FakeClock(),
    look: async () => ({ limitBytes: 512 * MIB, freeBytes, stallPercent: 0 }),
    onChange: (share) => shares.push(share),
  });
  await memory.look();
  freeBytes = 2048 * MIB;
  await memory.look();
  await memory.look();
  t.same(shares, [1 / 8, 1]);
  memory.close();
});

t.test("DescriptorBudget keeps some from layers", async (t) => {
  const clock = new FakeClock();
  let used = 800;
  const budget = new DescriptorBudget({ clock, look: () => ({ used, limit: 1024 }) });
  t.notOk(budget.isShort);
  used = 900;
  t.notOk(budget.isShort, "a look counts for a while");
  await clock.advance(1_000);
  t.ok(budget.isShort);
  t.ok(new DescriptorBudget({ clock }).figures.used > 3, "this process has some");
});

/** A binding whose planes show each punch before it is done. */
function watchedBinding(
  onPunch: (layer: number, first: number, last: number) => Promise<boolean>,
): NativeBinding {
  const binding = loadBinding();
  class WatchedPlane extends (binding.Plane as new (options: PlaneOptions) => NativePlane) {
    override async punch(layer: number, first: number, last: number): Promise<Uint8Array> {
      if (!(await onPunch(layer, first, last))) return new Uint8Array(last - first + 1).fill(4);
      return await super.punch(layer, first, last);
    }
  }
  return Object.assign(Object.create(binding) as NativeBinding, { Plane: WatchedPlane });
}

for (const mount of ["erofs", "fuse-tree"] as const) {
  t.test(`a bit leaves the disk before its bytes do (${mount})`, async (t) => {
    await using rig = await EngineRig.make();
    const layer = sampleLayer(
      sampleFiles(
        "budget",
        Array.from({ length: 12 }, () => 512 * KIB),
      ),
    );
    const { request, source } = requestOf(layer);
    rig.sources.set(request.digest, source);
    const paths = layerPaths(rig.root, request.digest);
    const presentOnDisk = async () => {
      const units = new UnitTable(await readFile(paths.units));
      const facts = { units: units.count, tableSha256: tableSha256(units) };
      const bits = decodeBitmap(await readFile(paths.bitmap), facts);
      return { units, has: (unit: number) => bits?.has(unit) === true };
    };
    let punches = 0;
    let isDead = false;
    let early = 0;
    const binding = watchedBinding(async (number, first, last) => {
      const { has } = await presentOnDisk();
      const presence = plane.presence(number);
      for (let unit = first; unit <= last; unit += 1) {
        const isMissing = ((presence[unit >>> 3] ?? 0) & (1 << (unit & 7))) === 0;
        if (isMissing && has(unit)) early += 1;
      }
      punches += 1;
      return !isDead;
    });
    const budget = { limit: { bytes: 3 * MIB }, highWater: 0.9, lowWater: 0.6, pinned: [] };
    const engine = await rig.open({ mount, binding, budget });
    const { plane } = engine;
    await engine.ensure(request, {});
    const folder = await engine.mountPoint(request.digest);
    t.same(await hashesBelow(folder), expectedHashes(layer.files), "all is right, a part of it at a time");
    await until(() => punches > 1);
    t.equal(early, 0, "no bit stood over bytes that went");
    const { space } = engine.budgets;
    t.ok(space.usedBytes <= space.limitBytes && space.evictedBytes > 2 * MIB);
    t.notOk(engine.status(request.digest).complete);

    // From here on the process is as good as dead between the two steps: the bits go, the bytes stay.
    isDead = true;
    t.ok((await hashesBelow(folder)).size > 0);
    await engine.close();
    const again = await rig.open({ mount, budget });
    const { has, units } = await presentOnDisk();
    const outcomes = await again.plane.verify(1, 0, units.count - 1);
    t.ok(outcomes.some((outcome) => outcome === 1));
    t.notOk(
      outcomes.some((outcome, unit) => has(unit) && outcome !== 1),
      "what is noted is there",
    );
    t.same(await hashesBelow(await again.mountPoint(request.digest)), expectedHashes(layer.files));
    // On the other rung a data file that is open elsewhere is left alone: here by the first plane, which is in this process.
    if (mount === "erofs") return;
    await until(() => again.budgets.space.usedBytes <= 3 * MIB);
    t.pass("bytes that nobody knew of were given back");
  });
}
