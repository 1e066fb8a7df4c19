import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import { type MountSpec, mountAll, openMountManager, unmountAll } from "../../src/mounts/index.js";
import { command } from "../../testing/rig/command.js";
import { binding, file, folders, mountedBelow, scratch, spec } from "./rig.js";

const now = (): bigint => 1_700_000_000_000_000_000n;
const request = { namespace: "n", labels: {} };

function rig(t: { teardown(step: () => Promise<void>): void }) {
  const base = scratch(t);
  const [root, state] = folders(base, "root", "state") as [string, string];
  const folder = join(state, "t");
  const open = () => openMountManager({ binding, folder, roots: [root], now });
  t.teardown(async () => {
    const manager = await open();
    for (const activation of manager.list()) await manager.deactivate(activation);
  });
  return { base, root, folder, open };
}

/** An ext4 in a file that does not exist yet, mounted, and an overlay whose folders lie on it. */
function stack(root: string, lower: string): MountSpec[] {
  return [
    spec("mkfs/loop", join(root, "disk.img"), "X-containerd.mkfs.size=16MiB", "X-containerd.mkfs.fs=ext4"),
    spec("format/ext4", "{{ mount 0 }}"),
    spec(
      "format/mkdir/overlay",
      "overlay",
      "X-containerd.mkdir.path={{ mount 1 }}/upper:0755",
      "X-containerd.mkdir.path={{ mount 1 }}/work:0711:7:8",
      `lowerdir=${lower}`,
      "upperdir={{ mount 1 }}/upper",
      "workdir={{ mount 1 }}/work",
    ),
  ];
}

async function loopsOn(path: string): Promise<string> {
  return (await command("losetup", ["-j", path])).stdout.trim();
}

t.test("activate() makes an image, a loop device, a mount and folders, and leaves the overlay", async (t) => {
  const { base, root, folder, open } = rig(t);
  const manager = await open();
  const [lower, target] = folders(base, "lower", "target") as [string, string];
  file(join(lower, "below"), "seen");
  const labels = { a: "1" };
  const made = await manager.activate({ namespace: "n", name: "x", labels, mounts: stack(root, lower) });
  t.equal(made.active.length, 2);
  t.strictSame(
    made.active.map(({ mount }) => mount.type),
    ["loop", "ext4"],
  );
  t.strictSame(made.active[0]!.mount.options, []);
  t.match(readlinkSync(made.active[0]!.mountPoint), /^\/dev\/loop\d+$/);
  t.equal(made.active[1]!.mount.source, made.active[0]!.mountPoint);
  t.equal(made.system.length, 1);
  const upper = `${made.active[1]!.mountPoint}/upper`;
  t.strictSame(made.system[0], {
    type: "overlay",
    source: "overlay",
    target: "",
    options: [`lowerdir=${lower}`, `upperdir=${upper}`, `workdir=${made.active[1]!.mountPoint}/work`],
  });
  t.equal(statSync(upper).mode & 0o777, 0o755);
  const work = statSync(`${made.active[1]!.mountPoint}/work`);
  t.strictSame([work.mode & 0o777, work.uid, work.gid], [0o711, 7, 8]);
  await mountAll({ binding, mounts: made.system, target });
  writeFileSync(join(target, "new"), "text");
  t.equal(readFileSync(join(target, "below"), "utf8"), "seen");
  await unmountAll({ binding, target });
  t.equal(readFileSync(join(upper, "new"), "utf8"), "text");
  t.strictSame(
    manager.list("n").map(({ name }) => name),
    ["x"],
  );
  t.strictSame(manager.list("other"), []);

  await manager.deactivate({ namespace: "n", name: "x" });
  t.strictSame(await mountedBelow(folder), []);
  t.equal(await loopsOn(join(root, "disk.img")), "");
  t.strictSame(readdirSync(folder), []);
  t.throws(() => manager.info({ namespace: "n", name: "x" }), { code: "NOT_FOUND" });
  await t.rejects(manager.deactivate({ namespace: "n", name: "x" }), { code: "NOT_FOUND" });

  const again = await manager.activate({ ...request, name: "x", mounts: stack(root, lower) });
  t.equal(readFileSync(join(again.active[1]!.mountPoint, "upper/new"), "utf8"), "text", "the image is kept");
});

t.test("activate() is unimplemented exactly when nothing needs handling", async (t) => {
  const { base, root, open } = rig(t);
  const manager = await open();
  const plain = [spec("bind", base, "rbind")];
  for (const mounts of [[], plain, [...plain, spec("unknown/overlay", "overlay")]]) {
    await t.rejects(manager.activate({ ...request, name: "x", mounts }), {
      code: "UNIMPLEMENTED",
      message: "not implemented",
    });
  }
  const loop = spec("loop", file(join(root, "file"), "x".repeat(4096)));
  const templated = spec("format/bind", "{{ mount 0 }}", "rbind");
  const allowed = { ...request, name: "x", allowedTypes: ["loop", "format/*"] };
  await t.rejects(manager.activate({ ...allowed, mounts: [loop, templated] }), { code: "UNIMPLEMENTED" });
  for (const mounts of [
    [spec("mkfs/loop", "/elsewhere/disk.img", "X-containerd.mkfs.size=1MiB")],
    [spec("mkdir/overlay", "overlay", "X-containerd.mkdir.path=/elsewhere/x")],
    [spec("mkdir/overlay", "overlay", `X-containerd.mkdir.path=${root}-beside/x`)],
  ]) {
    await t.rejects(manager.activate({ ...request, name: "x", mounts }), { code: "FAILED_PRECONDITION" });
  }
  t.strictSame(manager.list(), []);
});

t.test("activate() with `isTemporary` mounts all, and gives a bind of the last", async (t) => {
  const { base, folder, open } = rig(t);
  const manager = await open();
  const [source] = folders(base, "source") as [string];
  const mounts = [spec("bind", source, "rbind"), spec("format/bind", "{{ mount 0 }}", "rbind")];
  const made = await manager.activate({ ...request, name: "x", mounts, isTemporary: true });
  t.equal(made.active.length, 2);
  const last = made.active[1]!.mountPoint;
  t.strictSame(made.system, [{ type: "bind", source: last, target: "", options: ["rbind"] }]);
  t.strictSame((await mountedBelow(folder)).sort(), made.active.map(({ mountPoint }) => mountPoint).sort());
});

t.test("activate() leaves nothing of mounts that fail half-way, and says why", async (t) => {
  const { base, root, folder, open } = rig(t);
  const manager = await open();
  const [source] = folders(base, "source") as [string];
  const bound = spec("bind", source, "rbind");
  for (const [bad, failure] of [
    [
      spec("format/bind", "{{ mount 5 }}", "rbind"),
      /^template: :1:3: executing "" at <mount 5>: error calling mount: index out of bounds: 5, has 2 active mounts$/,
    ],
    [spec("format/bind", "{{ overlay 0 9 }}"), /invalid range: 0-9, has 2 active mounts$/],
    [spec("format/bind", "{{ nothing 1 }}"), /^template: :1: function "nothing" not defined$/],
    [spec("format/bind", "{{ mount }}"), /wrong number of args for mount: want 1 got 0$/],
    [spec("format/bind", "{{ mount 1"), /unclosed action/],
    [
      spec("mkdir/bind", base, "X-containerd.mkdir.mode=1"),
      /^invalid mkdir option "X-containerd.mkdir.mode=1"$/,
    ],
    [spec("mkdir/bind", base, `X-containerd.mkdir.path=${root}/a:0755:1`), /^invalid mkdir option/],
    [spec("mkdir/bind", base, `X-containerd.mkdir.path=${root}/a:7777`), /^invalid mode 7777$/],
    [spec("mkfs/loop", `${root}/i`, "X-containerd.mkfs.size=many"), /^bad option size/],
    [spec("mkfs/loop", `${root}/i`), /^mkfs requires mkfs.size option$/],
    [
      spec("mkfs/loop", `${root}/i`, "X-containerd.mkfs.size=1m", "X-containerd.mkfs.fs=fat"),
      /^unsupported filesystem "fat"$/,
    ],
    [spec("loop", join(base, "missing")), /^mount handler failed: /],
  ] as const) {
    const mounts = [
      bound,
      spec("format/bind", "{{ mount 0 }}", "rbind"),
      bad,
      spec("loop", join(base, "missing")),
    ];
    await t.rejects(manager.activate({ ...request, name: "x", mounts }), { message: failure });
    t.strictSame(await mountedBelow(folder), []);
    t.strictSame(readdirSync(folder), []);
  }
  const tiny = [
    spec("mkfs/loop", join(root, "tiny"), "X-containerd.mkfs.size=1k"),
    spec("format/ext4", "{{ mount 0 }}"),
  ];
  await t.rejects(manager.activate({ ...request, name: "x", mounts: tiny }), {
    code: "UNKNOWN",
    message: /^failed format /,
  });
  t.notOk(existsSync(join(root, "tiny")), "no image is left without a file system");
});

t.test("activate() of a name that is active is refused, in one namespace only", async (t) => {
  const { base, open } = rig(t);
  const manager = await open();
  const mounts = [spec("bind", base, "bind"), spec("format/bind", "{{ mount 0 }}")];
  const tries = await Promise.allSettled(
    ["n", "n", "m"].map((namespace) => manager.activate({ namespace, name: "x", labels: {}, mounts })),
  );
  t.strictSame(
    tries.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  t.match((tries[1] as PromiseRejectedResult).reason, { code: "ALREADY_EXISTS", message: 'mount "x"' });
});

t.test("openMountManager() finds whole activations again, and takes half-done ones away", async (t) => {
  const { base, root, folder, open } = rig(t);
  const first = await open();
  const [lower] = folders(base, "lower") as [string];
  const made = await first.activate({ ...request, name: "whole", mounts: stack(root, lower), lease: "l" });
  await first.label({ namespace: "n", name: "whole", labels: { b: "2" } });
  const mounts = [
    spec("loop", join(root, "disk.img")),
    spec("bind", lower, "bind"),
    spec("format/bind", "{{ mount 1 }}"),
  ];
  const half = await first.activate({ ...request, name: "half", mounts });
  rmSync(join(half.active[0]!.mountPoint, "../activation.json"));
  const unmounted = await first.activate({ ...request, name: "unmounted", mounts });
  await unmountAll({ binding, target: unmounted.active[1]!.mountPoint });
  mkdirSync(join(folder, "99/0"), { recursive: true });

  const second = await open();
  t.strictSame(second.list(), [{ ...made, namespace: "n", lease: "l", labels: { b: "2" } }]);
  t.equal(readdirSync(folder).length, 1);
  t.equal(
    (await loopsOn(join(root, "disk.img"))).split("\n").length,
    1,
    "only the whole one's device is left",
  );
  const next = await second.activate({ ...request, name: "next", mounts });
  t.match(next.active[0]!.mountPoint, /\/100\/0$/);
  await second.deactivate({ namespace: "n", name: "whole" });
  t.strictSame(
    second.list().map(({ name }) => name),
    ["next"],
  );
});
