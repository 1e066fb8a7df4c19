import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { loadBinding } from "../../src/fuse/index.js";
import { openMetadata } from "../../src/metadata/index.js";
import {
  createBtrfsSnapshotter,
  createNativeSnapshotter,
  type Snapshotter,
} from "../../src/snapshotters/index.js";
import { btrfsDisk } from "../../testing/rig/btrfs-disk.js";
import { command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd } from "../../testing/rig/containerd.js";

const binding = loadBinding();
const syncFileSystem = async (folder: string): Promise<void> => {
  await command("sync", ["--file-system", folder]);
};

/** What changes a tree, layer by layer: files of all sizes, links, times cut to seconds, modes, names. */
const layerScripts = [
  String.raw`
    umask 022
    mkdir -p etc data/deep many; echo conf > etc/conf; ln etc/conf etc/linked; ln -s conf etc/soft
    for i in $(seq 50); do echo "file $i" > many/f$i; done
    head -c 3000000 /dev/zero | tr '\0' x > data/large; head -c 3000 data/large > data/small
    truncate -s 8M data/sparse; echo end >> data/sparse; mkfifo data/fifo; mknod data/null c 1 3
    touch -d '2020-01-01 00:00:00 UTC' etc/conf many/*`,
  `
    umask 022
    echo more >> many/f1; chmod 600 many/f2; rm many/f3; echo 'file 4' > many/f4; touch -d '2020-01-01 00:00:00 UTC' many/f4
    echo 'FILE 5' > many/f5; touch -d '2020-01-01 00:00:00 UTC' many/f5
    mv data/deep data/deeper; mv data/small data/renamed; ln data/large data/again; rm etc/soft; ln -s linked etc/soft
    mkdir new; head -c 100000 data/large > new/file; chown 1:2 etc`,
  `: > empty; rm -r many; mkdir many; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 data/fifo || true`,
];

/** A snapshotter by the commands that both sides have. */
interface Side {
  prepare(key: string, parent: string): Promise<void>;
  view(key: string, parent: string): Promise<void>;
  commit(name: string, key: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** Type, source and options, as mount(8) takes them. */
  mount(key: string): Promise<{ type: string; source: string; options: string }>;
  usage(name: string): Promise<string>;
}

function theirs(containerd: Containerd, snapshotter: string): Side {
  const ctr = async (...args: string[]): Promise<string> =>
    (await containerd.ctr(["snapshots", "--snapshotter", snapshotter, ...args])).stdout;
  const named = (...args: string[]): string[] => args.filter((arg) => arg !== "");
  return {
    prepare: async (key, parent) => void (await ctr("prepare", ...named(key, parent))),
    view: async (key, parent) => void (await ctr("view", ...named(key, parent))),
    commit: async (name, key) => void (await ctr("commit", name, key)),
    remove: async (name) => void (await ctr("rm", name)),
    mount: async (key) => {
      const line = await ctr("mounts", "/target", key);
      const [, type = "", source = "", options = ""] =
        /^mount -t (\S+) (\S+) \/target -o (\S+)/.exec(line) ?? assertMatch(line);
      return { type, source, options };
    },
    usage: async (name) => (await ctr("usage", "-b", name)).split("\n")[1]?.replace(/\s+/g, " ").trim() ?? "",
  };
}

function assertMatch(line: string): never {
  throw new Error(`ctr printed ${line}`);
}

function ours(snapshotter: Snapshotter): Side {
  const labels = { "containerd.io/gc.root": "now" };
  return {
    prepare: async (key, parent) => void (await snapshotter.prepare({ key, parent, labels })),
    view: async (key, parent) => void (await snapshotter.view({ key, parent, labels })),
    commit: async (name, key) => await snapshotter.commit({ name, key, parent: "", labels }),
    remove: async (name) => await snapshotter.remove(name),
    mount: async (key) => {
      const [mount, ...others] = await snapshotter.mounts(key);
      if (mount === undefined || others.length > 0) throw new Error("want one mount");
      return { ...mount, options: mount.options.join(",") };
    },
    usage: async (name) => {
      const { size, inodes } = await snapshotter.usage(name);
      return `${name} ${size} ${inodes}`;
    },
  };
}

/** Runs the same work, and gives what a client sees of it: mounts without their numbers, usages, trees. */
async function seen(side: Side, folder: string): Promise<string[]> {
  const lines: string[] = [];
  await mkdir(folder, { recursive: true });
  const onMount = async (key: string, work: (target: string) => Promise<void>): Promise<void> => {
    const { type, source, options } = await side.mount(key);
    lines.push(
      `${key}: ${type} ${source.replace(/\/.*\/snapshots\/\d+$/, "PLACE")} ${options.replace(/=\d+/, "=N")}`,
    );
    const args =
      type === "bind" ? ["-o", options, source, folder] : ["-t", type, "-o", options, source, folder];
    await command("mount", args);
    try {
      await work(folder);
    } finally {
      await command("umount", [folder]);
    }
  };
  let parent = "";
  for (const [index, script] of layerScripts.entries()) {
    const key = `active-${index}`;
    await side.prepare(key, parent);
    lines.push(await side.usage(key));
    await onMount(key, async (target) => {
      await command("bash", ["-euc", script], { cwd: target });
      await syncFileSystem(target);
    });
    lines.push(await side.usage(key));
    parent = `layer-${index}`;
    await side.commit(parent, key);
    lines.push(await side.usage(parent));
  }
  await side.view("view", parent);
  lines.push(await side.usage("view"));
  await onMount("view", async (target) => {
    const { stdout } = await command("bash", ["-euc", "find . | sort; touch x 2>&1 || true"], {
      cwd: target,
    });
    lines.push(stdout);
  });
  for (const name of ["view", ...layerScripts.map((_, index) => `layer-${index}`).reverse()])
    await side.remove(name);
  return lines;
}

async function compare(t: Test, name: "btrfs" | "native"): Promise<void> {
  const disk = await btrfsDisk(t);
  const containerd = await startContainerd({ folder: join(disk, "containerd") });
  t.teardown(async () => await containerd.stop());
  const wanted = await seen(theirs(containerd, name), join(disk, "target"));
  const metadata = await openMetadata({ directory: join(disk, "metadata") });
  t.teardown(async () => await metadata.close());
  const options = {
    name,
    root: join(disk, "ours"),
    binding,
    metadata,
    now: () => BigInt(Date.now()) * 1_000_000n,
  };
  const snapshotter =
    name === "btrfs"
      ? await createBtrfsSnapshotter(options)
      : await createNativeSnapshotter({ ...options, syncFileSystem });
  t.same(await seen(ours(snapshotter), join(disk, "target")), wanted);
  t.ok(wanted.length > 10 && wanted.some((line) => /^layer-0 3\d{6} \d+$/.test(line)), wanted.join("\n"));
}

for (const name of ["btrfs", "native"] as const) {
  await t.test(`our ${name} snapshotter shows a client what containerd's own does`, async (t) => {
    await compare(t, name);
  });
}
