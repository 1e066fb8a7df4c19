import { lstat, mkdir, readdir, readFile, rm, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { optionsLength, withMounts } from "./mounting.js";
import { cases, type SuiteCases } from "./suite-case.js";
import type { Applier, SuiteRig } from "./suite-rig.js";
import { treeFacts } from "./tree-facts.js";

const LAYERS = 128;
const SAMPLED = 32;
/** What mount(2) takes of options. */
const PAGE_BYTES = 4096;
const TARGET_LABEL = "containerd.io/snapshot.ref";

function layerOf128(index: number): Applier {
  return async (folder) => {
    await writeFile(join(folder, "bottom"), `way at the bottom, round ${index}`);
    await writeFile(join(folder, `added-${index}`), String(index));
    if (index > 0) await rm(join(folder, "changing"), { recursive: true });
    await mkdir(join(folder, "changing"));
    await writeFile(join(folder, "changing", `only-in-${index}`), "new");
    if (index > 2) await unlink(join(folder, `added-${index - 2}`));
  };
}

/** Beyond the 64 that a page of options may hold, and all that containerd's own suite has. */
async function layers128(rig: SuiteRig): Promise<void> {
  await rig.withFolder(async (flat) => {
    let parent = "";
    for (let index = 0; index < LAYERS; index += 1) {
      const key = rig.name("active");
      const mounts = await rig.prepare(key, parent);
      const applier = layerOf128(index);
      await withMounts(mounts, async (folder) => {
        const isSampled = index % SAMPLED === 0 || index === LAYERS - 1;
        if (isSampled) rig.t.same(await treeFacts(folder), await treeFacts(flat), `before layer ${index}`);
        await applier(folder);
        await applier(flat);
        if (isSampled) rig.t.same(await treeFacts(folder), await treeFacts(flat), `after layer ${index}`);
      });
      parent = rig.name("committed");
      await rig.commit(parent, key);
    }
    await rig.checkView(parent, flat, "all layers");
    const [view, key] = [rig.name("view"), rig.name("on-all")];
    for (const mounts of [await rig.view(view, parent), await rig.prepare(key, parent)])
      for (const mount of mounts.filter(({ type }) => type === "overlay"))
        rig.t.ok(optionsLength(mount) > PAGE_BYTES, "the options are longer than a page");
    await rig.mounted(key, async (folder) => await rm(join(folder, "changing"), { recursive: true }));
    await rig.commit(rig.name("top"), key);
  });
  rig.t.equal((await rig.own(["kind==committed"])).length, LAYERS + 1);
  await rig.removeOwn();
}

async function rebase(rig: SuiteRig): Promise<void> {
  const { t } = rig;
  // As an unpacker with several layers under way: each is written without its parent, and gets it at its commit.
  const appliers: Applier[] = [0, 1, 2].map((index) => async (folder) => {
    await writeFile(join(folder, `file-${index}`), String(index));
    await writeFile(join(folder, "same"), `written by ${index}`);
  });
  const keys = appliers.map(() => rig.name("key"));
  await Promise.all(
    keys.map(async (key, index) => {
      await withMounts(await rig.prepare(key), appliers[index]!);
    }),
  );
  const names = appliers.map(() => rig.name("name"));
  await rig.withFolder(async (flat) => {
    for (const [index, key] of keys.entries()) {
      const parent = names[index - 1] ?? "";
      await rig.commit(names[index]!, key, { parent });
      t.match(await rig.snapshotter.stat(names[index]!), { kind: "committed", parent });
      await appliers[index]!(flat);
      await rig.checkView(names[index]!, flat, `layer ${index} on its parent`);
    }
  });
  await rig.refuses("remove a new parent", "FAILED_PRECONDITION", rig.snapshotter.remove(names[0]!));
  const usage = await rig.snapshotter.usage(names[2]!);
  t.ok(usage.size > 0 && usage.inodes > 0, "it holds something");
  await rig.removeOwn();
}

/** A record that names a parent whose files are not there would be a lie for ever. */
async function parentAtCommit(rig: SuiteRig): Promise<void> {
  const base = await rig.layer("", async (folder) => await writeFile(join(folder, "base"), "x"));
  const [key, name] = [rig.name("key"), rig.name("name")];
  await withMounts(await rig.prepare(key), async (folder) => await writeFile(join(folder, "own"), "x"));
  await rig.commit(name, key, { parent: base }).catch(() => undefined);
  if (!(await rig.has(name))) {
    rig.t.ok(await rig.has(key), "what is refused is as it was");
    return;
  }
  const { parent } = await rig.snapshotter.stat(name);
  const files = parent === base ? ["base", "own"] : ["own"];
  rig.t.same(await rig.viewed(name, async (folder) => (await readdir(folder)).sort()), files);
}

async function rebaseRefusals(rig: SuiteRig): Promise<void> {
  const base = await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"));
  const other = await rig.layer("", async (folder) => await writeFile(join(folder, "y"), "y"));
  const [onBase, free, open] = [rig.name("on-base"), rig.name("free"), rig.name("open")];
  await rig.prepare(onBase, base);
  await rig.prepare(free);
  await rig.prepare(open);
  const before = await rig.own();
  const commit = async (key: string, parent: string) => await rig.commit(rig.name("new"), key, { parent });
  await rig.refuses("another parent", "INVALID_ARGUMENT", commit(onBase, other));
  await rig.refuses("an open parent", "FAILED_PRECONDITION", commit(free, open));
  await rig.refuses("itself", "FAILED_PRECONDITION", commit(free, free));
  await rig.refuses("an unknown parent", "NOT_FOUND", commit(free, rig.name("unknown")));
  rig.t.same(await rig.own(), before, "nothing has changed");
  await rig.commit(rig.name("same"), onBase, { parent: base });
  await rig.removeOwn();
}

/** A snapshotter that has no lazy layers takes the target for a label like others; so does one that can't have this. */
async function target(rig: SuiteRig): Promise<void> {
  const digest = `sha256:${"7".repeat(64)}`;
  const name = `${rig.prefix}${digest}`;
  const key = `extract-1-abcd ${name}`;
  const mounts = await rig.prepare(key, "", { [TARGET_LABEL]: name });
  rig.t.ok(mounts.length > 0, "is to be filled by the client");
  rig.t.match(await rig.snapshotter.stat(key), { kind: "active", labels: { [TARGET_LABEL]: name } });
  rig.t.ok(!(await rig.has(name)), "the target is not there");
  await withMounts(mounts, async (folder) => await writeFile(join(folder, "x"), "unpacked"));
  await rig.commit(name, key, { labels: { [TARGET_LABEL]: name } });
  const found = await rig.walked([`labels."${TARGET_LABEL}"=="${name}",parent==""`]);
  rig.t.same(found, [await rig.snapshotter.stat(name)], "containerd's metadata asks this way");
  const read = async (folder: string) => await readFile(join(folder, "x"), "utf8");
  rig.t.equal(await rig.viewed(name, read), "unpacked");
  await rig.snapshotter.remove(name);
}

async function remapped(rig: SuiteRig): Promise<void> {
  const mappings = {
    "containerd.io/snapshot/uidmapping": "0:100000:65536",
    "containerd.io/snapshot/gidmapping": "0:200000:65536",
  };
  const wanted = ["uidmap=0:100000:65536", "gidmap=0:200000:65536"];
  const base = await rig.layer("", async (folder) => await writeFile(join(folder, "x"), "x"));
  for (const parent of ["", base]) {
    const [key, plain] = [rig.name("mapped"), rig.name("plain")];
    const mounts = await rig.prepare(key, parent, mappings);
    const options = mounts.flatMap((mount) => mount.options);
    rig.t.same(options.slice(0, 2), wanted, "the options begin with the mappings");
    rig.t.same(await rig.snapshotter.mounts(key), mounts);
    const upper = options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
    const { uid, gid } = await lstat(upper ?? mounts[0]!.source);
    rig.t.same([uid, gid], [100_000, 200_000], "root inside owns the root");
    const unmapped = (await rig.prepare(plain, parent)).flatMap((mount) => mount.options);
    rig.t.ok(!unmapped.some((option) => /^[ug]idmap=/.test(option)), "others have none");
  }
  await rig.removeOwn();
}

/** Cases about parents: many of them, given late, promised by a label, with other owners. */
export const parentCases: SuiteCases = {
  ...cases([], { "128LayersMount": layers128, Target: target, ParentAtCommit: parentAtCommit }),
  ...cases(["rebases"], { Rebase: rebase, RebaseRefusals: rebaseRefusals }),
  ...cases(["remapsIds"], { RemappedIds: remapped }),
};
