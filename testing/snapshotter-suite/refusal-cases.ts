import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cases, type SuiteCases } from "./suite-case.js";
import { makeFolder, rootLabels, type SuiteRig } from "./suite-rig.js";

const labels = rootLabels;

/** The words come from containerd 1.6 to 2.4: core/snapshots/storage/bolt.go, and core/metadata/snapshot.go before it. */
function missing(name: string) {
  const namespaced = new RegExp(`snapshot ${name} does not exist`);
  return { code: "NOT_FOUND", backend: /snapshot (does not exist|\S+: not found)/, namespaced } as const;
}

function taken(name: string) {
  const namespaced = new RegExp(`snapshot "${name}"`);
  return { code: "ALREADY_EXISTS", backend: new RegExp(`snapshot ${name}`), namespaced } as const;
}

async function refusals(rig: SuiteRig): Promise<void> {
  const { snapshotter } = rig;
  const base = await rig.layer("", async (folder) => await makeFolder(join(folder, "base")));
  const child = await rig.layer(base, async (folder) => await makeFolder(join(folder, "child")));
  const [active, view, none] = [rig.name("active"), rig.name("view"), rig.name("none")];
  await rig.prepare(active, child);
  await rig.view(view, child);
  const before = await rig.own();
  const commit = async (name: string, key: string) => await rig.commit(name, key);

  await rig.refuses("prepare a key in use", taken(active), rig.prepare(active));
  await rig.refuses("prepare the key of a view", taken(view), rig.prepare(view));
  await rig.refuses("view a key in use", taken(active), rig.view(active, base));
  await rig.refuses("prepare a committed name", taken(base), rig.prepare(base));
  const unknownParent = {
    code: "NOT_FOUND",
    backend: new RegExp(`missing parent "${none}" bucket`),
    namespaced: new RegExp(`parent snapshot ${none} does not exist`),
  } as const;
  await rig.refuses("prepare on an unknown parent", unknownParent, rig.prepare(rig.name("x"), none));
  await rig.refuses("view an unknown parent", unknownParent, rig.view(rig.name("x"), none));
  const openParent = (parent: string) => {
    const words = new RegExp(`parent "\\S*${parent}" is not committed snapshot`);
    return { code: "INVALID_ARGUMENT", backend: words, namespaced: words } as const;
  };
  await rig.refuses("prepare on an active one", openParent(active), rig.prepare(rig.name("x"), active));
  await rig.refuses("prepare on a view", openParent(view), rig.prepare(rig.name("x"), view));
  await rig.refuses("view an active one", openParent(active), rig.view(rig.name("x"), active));

  await rig.refuses("stat the unknown", missing(none), snapshotter.stat(none));
  await rig.refuses("usage of the unknown", missing(none), snapshotter.usage(none));
  await rig.refuses("mounts of the unknown", missing(none), snapshotter.mounts(none));
  await rig.refuses("remove the unknown", missing(none), snapshotter.remove(none));
  const update = (name: string, fieldPaths: string[]) => snapshotter.update({ name, labels, fieldPaths });
  await rig.refuses("update the unknown", missing(none), update(none, []));

  const closed = /requested snapshot \S+ not active or view/;
  const notMounted = { code: "FAILED_PRECONDITION", backend: closed, namespaced: closed } as const;
  await rig.refuses("mounts of a committed one", notMounted, snapshotter.mounts(base));
  const takenName = { ...taken(base), backend: new RegExp(`committed snapshot ${base}`) };
  await rig.refuses("commit to a name in use", takenName, commit(base, active));
  await rig.refuses("commit to its own key", "ALREADY_EXISTS", commit(active, active));
  await rig.refuses("commit to the key of a view", "ALREADY_EXISTS", commit(view, active));
  const noActive = { ...missing(none), backend: new RegExp(`failed to get active snapshot "${none}"`) };
  await rig.refuses("commit the unknown", noActive, commit(rig.name("new"), none));
  const notActive = (name: string) => {
    const words = new RegExp(`snapshot "\\S*${name}" is not active`);
    return { code: "FAILED_PRECONDITION", backend: words, namespaced: words } as const;
  };
  await rig.refuses("commit a view", notActive(view), commit(rig.name("new"), view));
  await rig.refuses("commit a committed one", notActive(base), commit(rig.name("new"), base));
  const parents = /cannot remove snapshot with child/;
  const hasChild = { code: "FAILED_PRECONDITION", backend: parents, namespaced: parents } as const;
  await rig.refuses("remove a parent", hasChild, snapshotter.remove(base));
  await rig.refuses("remove a parent of open ones", hasChild, snapshotter.remove(child));
  for (const path of ["parent", "kind", "name", "labelsx"]) {
    const words = new RegExp(`cannot update "${path}" field on snapshot "${base}"`);
    const fixed = { code: "INVALID_ARGUMENT", backend: words, namespaced: words } as const;
    await rig.refuses(`update ${path}`, fixed, update(base, [path]));
  }
  rig.t.same(await rig.own(), before, "what was refused has changed nothing");
}

async function cancelled(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  const signal = AbortSignal.abort();
  const [key, open] = [rig.name("key"), rig.name("open")];
  await rig.prepare(open);
  await t.rejects(snapshotter.prepare({ key, parent: "", labels, signal }));
  await t.rejects(snapshotter.view({ key, parent: "", labels, signal }));
  t.same(await rig.ownNames(), [open], "what is cancelled is not made");
  await rig.prepare(key);
  await rig.mounted(key, async (folder) => await writeFile(join(folder, "x"), "x"));
  await rig.removeOwn();
}

/** Cases about what is refused, in which words, and that nothing changes by it. */
export const refusalCases: SuiteCases = {
  ...cases([], { Refusals: refusals }),
  ...cases(["cancels"], { Cancelled: cancelled }),
};
