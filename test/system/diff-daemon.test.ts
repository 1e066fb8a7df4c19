import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { rawTar } from "../../testing/tar/index.js";

const layer = rawTar(
  { name: "etc/", type: "5" },
  { name: "etc/kept", content: "kept", mtime: 1_500_000_000 },
  { name: "etc/changed", content: "before", mtime: 1_500_000_000 },
  { name: "etc/gone", content: "gone" },
  { name: "emptied/", type: "5" },
  { name: "emptied/inner", content: "inner" },
);

/** What a container would change. */
const changes = `
cd "$1"
printf after > etc/changed; rm etc/gone; rm -r emptied; mkdir emptied; printf new > emptied/other
touch -d @1600000000 etc/changed emptied/other; ln emptied/other linked; ln -s nowhere symbolic
mkfifo fifo; mknod null c 1 3; chmod 4755 etc/changed
mkdir -p ${"x".repeat(90)}/${"y".repeat(90)}; touch -h -d @1600000000 fifo null symbolic; touch -d @1600000000 -- x*/y* x* emptied etc .
`;

interface Side {
  readonly address: string;
}

/** Imports an image, changes a snapshot of it, and brings back the layer that `ctr snapshots diff` makes. */
async function diffOf({ address }: Side, folder: string): Promise<Buffer> {
  const ctr = async (...args: string[]): Promise<string> =>
    (await command("ctr", ["--address", address, "-n", "diff", ...args])).stdout;
  await ctr("snapshots", "prepare", "base");
  const mount = async (key: string): Promise<string> => {
    const target = join(folder, `mnt-${key}`);
    await command("bash", [
      "-c",
      `mkdir -p ${target} && ${(await ctr("snapshots", "mounts", target, key)).trim()}`,
    ]);
    return target;
  };
  const base = await mount("base");
  await command("tar", ["-C", base, "-xf", join(folder, "..", "layer.tar")]);
  await command("umount", [base]);
  await ctr("snapshots", "commit", "lower", "base");
  await ctr("snapshots", "prepare", "upper", "lower");
  const upper = await mount("upper");
  await command("bash", ["-c", changes, "changes", upper]);
  await command("umount", [upper]);
  const output = join(folder, "diff.tar");
  const parts = `ctr --address ${address} -n diff snapshots diff --media-type application/vnd.oci.image.layer.v1.tar upper > ${output}`;
  await command("bash", ["-c", parts]);
  return await readFile(output);
}

t.test("`ctr snapshots diff` of a changed snapshot gives what containerd gives", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-diff-daemon-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "layer.tar"), layer);
  const containerd = await startContainerd({ folder: join(folder, "theirs") });
  cleanup.add(() => containerd.stop());
  const daemon = await startDaemon({ folder: join(folder, "ours") });
  cleanup.add(() => daemon.stop());
  const theirs = await diffOf(containerd, join(folder, "theirs"));
  const ours = await diffOf(daemon, join(folder, "ours"));
  const listing = async (name: string, tar: Buffer): Promise<string> => {
    const path = join(folder, `${name}.tar`);
    await writeFile(path, tar);
    return (await command("tar", ["--numeric-owner", "--full-time", "-tvf", path])).stdout;
  };
  const [left, right] = [await listing("left", theirs), await listing("right", ours)];
  // What was deleted has the time of the clock.
  const plain = (text: string): string[] =>
    text.split("\n").map((line) => line.replace(/ \S+ \S+ (?=\S*\.wh\.)/, " "));
  t.same(plain(right), plain(left));
  t.equal(ours.length, theirs.length);
});
