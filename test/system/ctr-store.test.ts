import { createHash, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { writeOciArchive } from "../../testing/rig/oci-archive.js";
import { startTwins } from "./ctr-twins.js";

t.setTimeout(240_000);

const digestOf = (bytes: string | Buffer): string =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const longText = "x".repeat(5000);
const absent = digestOf("nobody has this");
/** Keeps a blob that no lease and no image has from the collectors of both. */
const root = "containerd.io/gc.root=1";

type Step = readonly [words: readonly string[], input?: string | Buffer];

const steps = (lines: readonly (string | Step)[]): Step[] =>
  lines.map((line) => (typeof line === "string" ? [line.split(" ")] : line));

const namespaceSteps = steps([
  "namespaces ls",
  "namespaces create one",
  "namespaces create one",
  "namespaces create two key=value other=2",
  "namespaces create bad/name",
  "namespaces create bad..name",
  "namespaces create -bad",
  [["namespaces", "create", "bad name"]],
  [["namespaces", "create", ""]],
  [["namespaces", "create", "n".repeat(76)]],
  [["namespaces", "create", "n".repeat(77)]],
  [["namespaces", "create", "long", `key=${longText}`]],
  [["namespaces", "create", "empty-label", "key="]],
  "namespaces ls",
  "namespaces ls -q",
  "namespaces label two key=changed",
  "namespaces ls",
  [["namespaces", "label", "two", "key="]],
  [["namespaces", "label", "two", `key=${longText}`]],
  "namespaces label unknown key=value",
  "namespaces ls",
  "-n two leases create --id held",
  "namespaces rm two",
  [["-n", "one", "content", "ingest", "blob"], "in the way"],
  `-n one content label ${digestOf("in the way")} ${root}`,
  "namespaces rm one unknown",
  "-n other content ls",
  "-n bad..name content ls",
  [["-n", "bad name", "content", "ls"]],
  "namespaces ls",
]);

const hello = "hello\n";
const large = randomBytes(3_000_000);

const contentSteps = steps([
  "content ls",
  [["content", "ingest", "first"], hello],
  `content label ${digestOf(hello)} ${root}`,
  "content ls",
  "content ls -q",
  `content get ${digestOf(hello)}`,
  [["content", "ingest", "large"], large],
  `content label ${digestOf(large)} ${root}`,
  `content get ${digestOf(large)}`,
  [["content", "ingest", "empty"], ""],
  `content label ${digestOf("")} ${root}`,
  `content get ${digestOf("")}`,
  [["content", "ingest", "again"], hello],
  [["content", "ingest", "--expected-digest", digestOf(hello), "again"], hello],
  [["content", "ingest", "--expected-size", "6", "--expected-digest", digestOf(hello), "third"], "other"],
  [["content", "ingest", "--expected-size", "3", "short"], hello],
  [["content", "ingest", "--expected-size", "30", "longer"], hello],
  [["content", "ingest", "--expected-digest", absent, "wrong"], "damaged"],
  [["content", "ingest", "--expected-size", "7", "--expected-digest", absent, "wrong-too"], "damaged"],
  [["content", "ingest", "--expected-digest", "sha256:12", "bad"], hello],
  [["content", "ingest"], hello],
  "content active",
  "content active ref==wrong",
  "content active ref~=long",
  "content active ==",
  [["content", "ingest", "short"], "short\n"],
  [["content", "ingest", "--expected-size", "7", "wrong"], "damaged"],
  "content active",
  `content get ${absent}`,
  "content get sha256:12",
  "content get",
  `content label ${digestOf(hello)} a=1`,
  `content label ${digestOf(hello)} b=2`,
  [["content", "label", digestOf(hello), "a="]],
  `content label ${digestOf(hello)}`,
  `content label ${absent} a=1`,
  [["content", "label", digestOf(hello), `a=${longText}`]],
  "content ls labels.b==2",
  `content ls -q digest==${digestOf("")}`,
  "content ls labels.b!=2,digest~=^sha256:58",
  [["content", "ls", "=="]],
  [["content", "ls", "labels.b=="]],
  `-n other content get ${digestOf(hello)}`,
  [["-n", "other", "content", "ingest", "--expected-digest", digestOf(hello), "shared"], ""],
  "-n other content ls -q",
  `content rm ${absent}`,
  `content rm ${digestOf("")} ${absent}`,
  `content rm ${digestOf("")}`,
  `content get ${digestOf("")}`,
  "content rm nothing",
  "content ls -q labels",
  "content prune references",
  `content ls -q digest==${digestOf(hello)}`,
]);

const leaseSteps = steps([
  "leases ls",
  "leases create --id first",
  "leases create --id first",
  "leases create --id labelled a=1 b=2",
  [["leases", "create", "--id", "no-value", "a", "b="]],
  "leases create -x 0 --id for-ever",
  "leases create -x 0",
  [["leases", "create", "--id", "with space/and slash"]],
  [["leases", "create", "--id", "long", "-x", "0", `a=${longText}`]],
  "leases ls",
  "leases ls id==first",
  "leases ls labels.a==1",
  "leases ls -q id!=first,labels.a",
  [["leases", "ls", "=="]],
  "-n other leases ls",
  "-n bad..name leases ls",
  "leases rm first",
  "leases rm first",
  "leases rm --sync for-ever",
  "leases rm labelled unknown no-value",
  "leases rm --sync unknown",
  "leases ls -q id~=no",
]);

const imageSteps = (archive: string): Step[] =>
  steps([
    "images ls",
    `images import --no-unpack --base-name example.com/a ${archive}`,
    "images ls",
    "images ls -q",
    "images check",
    "images check -q",
    `images import --no-unpack --base-name example.com/a --digests ${archive}`,
    `images import --no-unpack --index-name example.com/index:1 ${archive}`,
    `images import --no-unpack ${archive}.none`,
    `images import --no-unpack ${archive}.bad`,
    "images ls -q",
    "images tag example.com/a:latest example.com/b:1",
    "images tag example.com/a:latest example.com/b:1",
    "images tag --force example.com/a:latest example.com/b:1 example.com/b:2",
    "images tag example.com/unknown:1 example.com/c:1",
    "images tag example.com/a:latest bad::name",
    "images label example.com/b:1 a=1 b=2",
    [["images", "label", "example.com/b:1", "a="]],
    "images label --replace-all example.com/b:1 c=3",
    "images label example.com/unknown:1 a=1",
    "images label example.com/b:1",
    [["images", "label", "example.com/b:1", `a=${longText}`]],
    "images ls name==example.com/b:1",
    "images ls -q labels.c==3",
    "images ls name~=b:",
    [["images", "ls", "=="]],
    "-n other images ls",
    "-n bad..name images ls",
    "images rm example.com/b:2",
    "images rm example.com/b:2",
    "images rm --sync example.com/unknown:1",
    "images rm example.com/a:latest example.com/b:1 example.com/unknown:1",
    "images check",
    "namespaces rm default",
    `images export ${archive}.out example.com/index:1`,
    `images export ${archive}.out example.com/unknown:1`,
    "content ls",
  ]);

const snapshotSteps = steps([
  "snapshots ls",
  "snapshots prepare work",
  "snapshots ls",
  "snapshots prepare work",
  "snapshots prepare child unknown",
  "snapshots prepare child work",
  "snapshots commit base work",
  "snapshots commit base work",
  "snapshots prepare child base",
  "snapshots view look base",
  "snapshots ls",
  "snapshots tree",
  "snapshots rm base",
  "snapshots info unknown",
  "snapshots label look a=1",
  "snapshots label unknown a=1",
  "snapshots rm look child unknown",
  "snapshots rm base",
  "snapshots ls",
  "-n other snapshots ls",
  "snapshots --snapshotter unknown ls",
  "-n bad..name snapshots ls",
]);

/**
 * Where lazuli's answer is not containerd 1.6's, and why. The exit status and stdout are the same all the same.
 * A size can be filtered by in lazuli only, so no step does.
 */
const explained: Readonly<Record<string, (containerd: string) => string>> = {
  // containerd forgets to translate these two into the code that their text names, and they become UNKNOWN.
  [`namespaces label two key=${longText}`]: withoutUnknown,
  "-n bad..name snapshots ls": withoutUnknown,
  // Its overlayfs snapshotter says this before what its storage says, ours says the latter alone, as btrfs does.
  "snapshots prepare child work": (text) => text.replace("failed to create snapshot: ", ""),
};

function withoutUnknown(text: string): string {
  return text.replace(": unknown", "");
}

t.test("ctr says the same of lazuli daemon and of containerd", async (t) => {
  await using cleanup = new Cleanup();
  const twins = await startTwins(cleanup);
  const layer = join(twins.folder, "layer");
  await writeFile(layer, "a layer");
  await command("tar", ["-C", twins.folder, "-cf", `${layer}.tar`, "layer"]);
  const archive = join(twins.folder, "image.tar");
  await writeOciArchive({
    layers: [`${layer}.tar`],
    config: { Cmd: ["/bin/true"] },
    name: "example.com/a:latest",
    archive,
  });
  await writeFile(`${archive}.bad`, "not a tar");

  const rooms = {
    namespaces: namespaceSteps,
    content: contentSteps,
    leases: leaseSteps,
    images: imageSteps(archive),
    snapshots: snapshotSteps,
  };
  for (const [room, all] of Object.entries(rooms)) {
    await t.test(`ctr ${room}`, async (t) => {
      for (const [words, input] of all) {
        const { lazuli, containerd } = await twins.both(words, input);
        const stderr = explained[words.join(" ")]?.(containerd.stderr) ?? containerd.stderr;
        t.same(lazuli, { ...containerd, stderr }, `ctr ${words.join(" ").slice(0, 100)}`);
      }
    });
  }

  await t.test("ctr version and ctr plugins tell what answers", async (t) => {
    const version = await twins.lazuli(["version"]);
    t.equal(version.code, 0);
    t.match(version.stdout, /Server:\n +Version: +\d+\.\d+\.\d+\n(.|\n)*UUID: [0-9a-f-]{36}/);
    t.match((await twins.lazuli(["plugins", "ls"])).stdout, /io\.containerd\.content\.v1 +content +- +ok/);
  });
});
