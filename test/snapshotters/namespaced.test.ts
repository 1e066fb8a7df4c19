import t, { type Test } from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { leaseResources, leases, namespacedSnapshots } from "../../src/metadata/index.js";
import { armFailurePoint } from "../../src/observe/index.js";
import { namespacedSnapshotter, type Snapshotter } from "../../src/snapshotters/index.js";
import { lazyRig, nowNanoseconds } from "../../testing/snapshotter-suite/index.js";

const name = "lazuli";

async function rigged(t: Test) {
  const rig = await lazyRig();
  t.teardown(async () => await rig.dispose());
  const make = () =>
    namespacedSnapshotter({
      metadata: rig.metadata,
      snapshotter: rig.snapshotter,
      name,
      now: nowNanoseconds,
    });
  return { ...rig, make, namespaced: make() };
}

async function namesOf(snapshotter: Snapshotter, filters: string[] = []): Promise<string[]> {
  const names: string[] = [];
  for await (const info of snapshotter.walk(filters)) names.push(info.name);
  return names;
}

async function layer(own: Snapshotter, committed: string, parent = ""): Promise<void> {
  await own.prepare({ key: `${committed}-active`, parent, labels: {} });
  await own.commit({ name: committed, key: `${committed}-active`, parent: "", labels: {} });
}

const target = sha256(Buffer.from("chain"));
const digest = sha256(Buffer.from("layer"));
const remoteLabels = {
  "containerd.io/snapshot.ref": target,
  "containerd.io/snapshot/remote/stargz.reference": "registry.example/sample:1",
  "containerd.io/snapshot/remote/stargz.digest": digest,
  "containerd.io/snapshot/stargz/toc.digest": digest,
  client: "own",
};

await t.test("for() shows a namespace what it has and nothing else", async (t) => {
  const { namespaced, snapshotter } = await rigged(t);
  const [one, two] = [namespaced.for({ namespace: "one" }), namespaced.for({ namespace: "two" })];
  await layer(one, "base");
  await layer(two, "base");
  await one.prepare({
    key: "top",
    parent: "base",
    labels: { "containerd.io/snapshot/note": "0", x: "y" },
  });
  t.same(await namesOf(one), ["base", "top"]);
  t.same(await namesOf(one, ["parent==base,kind==active"]), ["top"]);
  t.same(await namesOf(two), ["base"]);
  await t.rejects(two.stat("top"), { code: "NOT_FOUND", message: "snapshot top does not exist" });
  const [below] = (await namesOf(snapshotter)).filter((key) => key.endsWith("/top"));
  t.match(below, /^one\/\d+\/top$/);
  t.same((await snapshotter.stat(below!)).labels, { "containerd.io/snapshot/note": "0" });
  t.match((await snapshotter.stat(below!)).parent, /^one\/\d+\/base$/);
  t.same((await one.stat("top")).labels, { "containerd.io/snapshot/note": "0", x: "y" });
  t.throws(() => namespaced.for({ namespace: "" }), { code: "FAILED_PRECONDITION" });
});

await t.test("prepare() and commit() refuse as containerd does", async (t) => {
  const { namespaced } = await rigged(t);
  const own = namespaced.for({ namespace: "one" });
  await layer(own, "base");
  await own.prepare({ key: "a", parent: "base", labels: {} });
  const prepare = async (key: string, parent = "", labels = {}) => await own.prepare({ key, parent, labels });
  await t.rejects(prepare("a"), { code: "ALREADY_EXISTS", message: 'snapshot "a"' });
  await t.rejects(prepare("b", "none"), {
    code: "NOT_FOUND",
    message: "parent snapshot none does not exist",
  });
  await t.rejects(prepare(""), { code: "INVALID_ARGUMENT" });
  await t.rejects(prepare("b", "", { long: "v".repeat(5000) }), { code: "INVALID_ARGUMENT" });
  const commit = async (name: string, key: string) => await own.commit({ name, key, parent: "", labels: {} });
  await t.rejects(commit("base", "a"), { code: "ALREADY_EXISTS", message: 'snapshot "base"' });
  await t.rejects(commit("c", "none"), { code: "NOT_FOUND", message: "snapshot none does not exist" });
  await t.rejects(commit("c", "base"), { code: "FAILED_PRECONDITION" });
  await t.rejects(own.remove("base"), {
    code: "FAILED_PRECONDITION",
    message: "cannot remove snapshot with child",
  });
  const twice = await Promise.allSettled([prepare("same"), prepare("same")]);
  t.same(twice.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const both = await Promise.allSettled([commit("d", "a"), commit("d", "same")]);
  t.same(both.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  t.match(await own.stat("d"), { kind: "committed" });
});

await t.test("prepare() records a target that the snapshotter has made lazily", async (t) => {
  const { namespaced, snapshotter, engine } = await rigged(t);
  const [one, two] = [namespaced.for({ namespace: "one" }), namespaced.for({ namespace: "two" })];
  const prepare = async (own: Snapshotter, key: string) =>
    await own.prepare({ key, parent: "", labels: remoteLabels });
  await t.rejects(prepare(one, "extract-1"), {
    code: "ALREADY_EXISTS",
    message: `target snapshot "${target}" from snapshotter`,
  });
  t.same(engine.ensured, [digest]);
  t.match(await one.stat(target), { name: target, kind: "committed", parent: "", labels: { client: "own" } });
  await t.rejects(one.stat("extract-1"), { code: "NOT_FOUND" });
  await t.rejects(prepare(one, "extract-2"), {
    code: "ALREADY_EXISTS",
    message: `target snapshot "${target}"`,
  });
  await t.rejects(prepare(two, "extract-1"), { code: "ALREADY_EXISTS" });
  t.same(await namesOf(two), [target]);
  t.equal((await namesOf(snapshotter)).length, 1, "both stand on one snapshot");
  await one.prepare({ key: "on-it", parent: target, labels: {} });
  t.equal((await one.stat("on-it")).parent, target);
  await two.remove(target);
  await namespaced.sweep();
  t.match(await one.stat(target), { kind: "committed" }, "the other namespace still has it");
});

await t.test("a lease has what is prepared and what is committed", async (t) => {
  const { namespaced, metadata } = await rigged(t);
  const lease = { namespace: "one", id: "l", labels: {}, createdAt: 1n };
  await metadata.write((transaction) => transaction.put(leases, ["one", "l"], lease));
  const leased = (): string[] =>
    [...metadata.entries(leaseResources, ["one", "l"])].map(({ value }) => `${value.type} ${value.id}`);
  const own = namespaced.for({ namespace: "one", lease: "l" });
  await own.prepare({ key: "a", parent: "", labels: {} });
  t.same(leased(), ["snapshots/lazuli a"]);
  await own.commit({ name: "c", key: "a", parent: "", labels: {} });
  t.same(leased(), ["snapshots/lazuli c"]);
  await own.remove("c");
  t.same(leased(), []);
  await t.rejects(own.prepare({ key: "x", parent: "", labels: remoteLabels }), { code: "ALREADY_EXISTS" });
  t.same(leased(), [`snapshots/lazuli ${target}`]);
  const unknown = namespaced.for({ namespace: "one", lease: "unknown" });
  await t.rejects(unknown.prepare({ key: "y", parent: "", labels: {} }), { code: "NOT_FOUND" });
  await t.rejects(own.stat("y"), { code: "NOT_FOUND" });
});

await t.test("sweep() removes what no namespace has, children first", async (t) => {
  const { namespaced, snapshotter, metadata } = await rigged(t);
  const own = namespaced.for({ namespace: "one" });
  await layer(own, "a");
  await layer(own, "b", "a");
  await layer(own, "c", "b");
  await own.prepare({ key: "top", parent: "c", labels: {} });
  t.same(await namespaced.sweep(), { removedSnapshots: 0 });
  for (const key of ["top", "c", "b"]) await own.remove(key);
  t.equal((await namesOf(snapshotter)).length, 4, "only the rows are gone");
  t.same(await namespaced.sweep(), { removedSnapshots: 3 });
  t.match(await namesOf(snapshotter), [/^one\/\d+\/a$/]);
  // As when a row was damaged: its child is still there.
  await own.prepare({ key: "child", parent: "a", labels: {} });
  await metadata.write((transaction) => transaction.delete(namespacedSnapshots, ["one", name, "a"]));
  t.same(await namespaced.sweep(), { removedSnapshots: 0 }, "the snapshotter does not let go of it");
  t.equal((await namesOf(snapshotter)).length, 2);
});

await t.test("sweep() while snapshots are made never takes one of them", async (t) => {
  const { namespaced, snapshotter, engine } = await rigged(t);
  let isRunning = true;
  const sweeping = (async () => {
    while (isRunning) await namespaced.sweep();
  })();
  const work = async (namespace: string): Promise<void> => {
    const own = namespaced.for({ namespace });
    for (let step = 0; step < 12; step += 1) {
      const remote = own.prepare({ key: `x${step}`, parent: "", labels: remoteLabels });
      await t.rejects(remote, { code: "ALREADY_EXISTS" });
      t.match(await own.stat(target), { kind: "committed" });
      await own.prepare({ key: `k${step}`, parent: target, labels: {} });
      await own.commit({ name: `c${step}`, key: `k${step}`, parent: "", labels: {} });
      t.match(await own.stat(`c${step}`), { kind: "committed" });
      await own.remove(`c${step}`);
      await own.remove(target);
    }
  };
  await Promise.all(["one", "two"].map(work));
  isRunning = false;
  await sweeping;
  await namespaced.sweep();
  t.same(await namesOf(snapshotter), []);
  t.ok(engine.ensured.length > 0);
});

for (const [point, survivor] of [
  ["snapshots.namespaced.intended", "key"],
  ["snapshots.namespaced.committed", "name"],
] as const) {
  t.test(`a kill at ${point} in commit() leaves the ${survivor}`, async (t) => {
    const { namespaced, make, snapshotter } = await rigged(t);
    const own = namespaced.for({ namespace: "one" });
    await own.prepare({ key: "key", parent: "", labels: {} });
    armFailurePoint({
      name: point,
      pass: 1,
      fire: () => {
        throw new Error("killed");
      },
    });
    const commit = own.commit({ name: "name", key: "key", parent: "", labels: { l: "1" } });
    await t.rejects(commit, { message: "killed" });
    const restarted = make();
    await restarted.sweep();
    const after = restarted.for({ namespace: "one" });
    t.same(await namesOf(after), [survivor]);
    t.equal((await namesOf(snapshotter)).length, 1);
    if (survivor === "name") t.same((await after.stat("name")).labels, { l: "1" });
    else await after.commit({ name: "name", key: "key", parent: "", labels: {} });
    t.match(await after.stat("name"), { kind: "committed" });
  });
}
