import t, { type Test } from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { oddRegistry } from "../../testing/rig/lab.js";
import { mountImage } from "../../testing/rig/mounted-image.js";
import { formatFiles, listingDifference, treeListing } from "../../testing/rig/tree-listing.js";
import { ownOptionsLast, withoutFolderTimes } from "./snapshotters-differences.js";
import { Asker, type Kind, kinds, type PluggedNode, type Said, startPlugged } from "./snapshotters-rig.js";

t.setTimeout(240_000);

const LAYERS = 3;
/** Lines that a listing of the odd image has at least. */
const LISTED_MIN = 600;

/** All that a container sees of its image; what the runtime puts into it is passed over. */
const insideLine = String.raw`
  find / -xdev -mindepth 1 ! -path '/dev*' ! -path '/proc*' ! -path '/sys*' ! -path '/run*' \
    -exec stat -c '%n|%F|%a|%u|%g|%s|%h|%t|%T|%Y' {} +
  find / -xdev -type f ! -path '/dev/*' ! -path '/proc/*' ! -path '/sys/*' -exec sha256sum {} +
`;

interface Compared {
  readonly node: PluggedNode;
  readonly kind: Kind;
  readonly image: string;
  /** By the client that has layers lazily, on our side. */
  readonly isLazy?: boolean;
}

t.test("containerd pulls and runs an image with each of ours on one socket as with its own", async (t) => {
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  const node = await startPlugged(cleanup, { sockets: "shared", collectsOnRequest: true });
  for (const kind of kinds) {
    await t.test(kind, async (t) => {
      const compared = { node, kind, image: `${registry.host}/odd:org` };
      await compareRuns(t, compared);
      await compareSnapshots(t, compared);
    });
  }
  await t.test("lazy layers", async (t) => {
    const compared = { node, kind: "lazy", image: `${registry.host}/odd:esgz`, isLazy: true } as const;
    await compareRuns(t, compared);
    await compareSnapshots(t, compared);
  });
});

t.test("containerd pulls and runs an image with each of ours on a socket of its own", async (t) => {
  await using cleanup = new Cleanup();
  const registry = await oddRegistry(cleanup);
  const node = await startPlugged(cleanup, { sockets: "separate", collectsOnRequest: true });
  const image = `${registry.host}/odd:org`;
  for (const kind of kinds) await t.test(kind, async (t) => await compareRuns(t, { node, kind, image }));
});

/** Asks both and compares; gives what containerd's own said. */
type Same = (
  name: string,
  ask: (asker: Asker) => Promise<Said>,
  shown?: (said: Said) => Said,
) => Promise<Said>;

function comparing(t: Test, { node, kind }: Compared): Same {
  const { theirs, ours } = node.sides(kind);
  return async (name, ask, shown = (said) => said) => {
    const wanted = ownOptionsLast(await ask(new Asker(node, theirs)));
    t.same(shown(await ask(new Asker(node, ours))), shown(wanted), name);
    return wanted;
  };
}

async function compareRuns(t: Test, compared: Compared): Promise<void> {
  const { node, kind, image, isLazy = false } = compared;
  const same = comparing(t, compared);
  const pull = async ({ side }: Asker): Promise<Said> => {
    const words = ["--plain-http", "--snapshotter", side.snapshotter, image];
    const client = isLazy && side.name === "ours" ? "ctrRemote" : "ctr";
    const command = client === "ctr" ? "pull" : "rpull";
    return await node.containerd[client](["--namespace", side.namespace, "images", command, ...words]);
  };
  await same("pull", pull, isLazy ? ({ code }) => ({ code, stdout: "", stderr: "" }) : withoutProgress);
  const run =
    (line: string) =>
    async (asker: Asker): Promise<Said> => {
      const words = ["run", "--rm", "--snapshotter", asker.side.snapshotter, image, `box-${kind}`];
      return await asker.ctr([...words, "/bin/sh", "-c", line]);
    };
  const inside = await same("run", run(insideLine), (said) => listed(compared, said));
  t.match(inside, { code: 0, stderr: "" });
  t.ok(inside.stdout.split("\n").length > LISTED_MIN, "all was listed in the container");
  const failed = await same("run that fails", run("echo told >&2; exit 7"));
  t.match(failed, { code: 7, stderr: "told\n" });
  const [wanted, found] = [await listing(compared, "theirs"), await listing(compared, "ours")];
  t.ok(wanted.length > LISTED_MIN, "the listing is whole");
  t.same(listingDifference(wanted, found), [], "the same tree");
}

async function compareSnapshots(t: Test, compared: Compared): Promise<void> {
  const { image, isLazy = false } = compared;
  const same = comparing(t, compared);
  const shown = isLazy ? withoutLaziness : undefined;
  await same("ls", (asker) => asker.snapshots("ls"));
  const { stdout } = await same("tree", (asker) => asker.snapshots("tree"));
  const names = stdout.match(/sha256:[0-9a-f]{64}/g) ?? [];
  t.equal(names.length, LAYERS);
  for (const name of names) {
    await same("info", (asker) => asker.snapshots("info", name), shown);
    await same("diff", (asker) => asker.diff(name));
  }
  await same("usage", (asker) => asker.snapshots("usage", "-b"), shown);
  const check = (asker: Asker): Promise<Said> =>
    asker.ctr(["images", "check", "--snapshotter", asker.side.snapshotter]);
  await same("check", check, shown);
  await same("prepare", (asker) => asker.snapshots("prepare", "work", names.at(-1)!));
  await same("mounts", (asker) => asker.snapshots("mounts", "/nowhere", "work"), shown);
  await same("view", (asker) => asker.snapshots("view", "--mounts", "look", names[1]!), shown);
  await same("rm of a parent", (asker) => asker.snapshots("rm", names[0]!));
  for (const name of ["work", "look"]) await same("rm", (asker) => asker.snapshots("rm", name));
  await same("images rm", (asker) => asker.ctr(["images", "rm", "--sync", image]));
  await same("ls at the end", (asker) => asker.snapshots("ls"));
}

function withoutProgress({ code, stdout, stderr }: Said): Said {
  const lines = stdout.split("\n").filter((line) => /^(unpacking|done)/.test(line));
  return { code, stderr, stdout: lines.map((line) => line.replace(/^done: .*/, "done")).join("\n") };
}

function listed({ kind, isLazy = false }: Compared, { stdout, ...said }: Said): Said {
  let lines = (kind === "native" ? withoutFolderTimes(stdout) : stdout).split("\n");
  if (isLazy) {
    lines = lines
      .filter((line) => !formatFiles.some((name) => line.includes(name)))
      // The size of a folder is its file system's.
      .map((line) => line.replace(/(\|directory(\|\d+){3}\|)\d+/, "$1<size>"));
  }
  return { ...said, stdout: lines.sort().join("\n") };
}

/** Without what is a lazy layer's own: its labels, how it is mounted, what it takes up, and that no blob was pulled. */
function withoutLaziness({ stdout, ...said }: Said): Said {
  const shown = stdout
    .replace(/\n +"Labels": \{[^}]*\},/, "")
    .replace(/lowerdir=[^,"\n]*|(?<=^sha256:\w+ )\d+ \d+/gm, "<own>")
    .replace(/(in)?complete \(\d\/\d\) [^\n]* (?=true)/, "<own>");
  return { ...said, stdout: shown };
}

async function listing({ node, kind, image }: Compared, name: "theirs" | "ours"): Promise<string[]> {
  const { namespace, snapshotter } = node.sides(kind)[name];
  const ctr: typeof node.containerd.ctr = async (words, options) =>
    await node.containerd.ctr(["--namespace", namespace, ...words], options);
  const containerd = { ...node.containerd, ctr };
  await using view = await mountImage({ containerd, image, snapshotter, below: node.folder });
  const lines = await treeListing(view.folder);
  return kind === "native" ? lines.map(withoutFolderTimes) : lines;
}
