import t from "tap";
import { type Config, dumpConfig, readConfig } from "../../src/daemon/index.js";
import { LazuliError } from "../../src/errors/index.js";

function problemOf(text: string): string {
  try {
    readConfig({ text });
  } catch (thrown) {
    return LazuliError.from(thrown).message;
  }
  return "no problem";
}

const whole = `
[snapshotters.fast]
type = "btrfs"
root = "/data/fast/"
address = "/run/fast.sock"
sync_remove = false
[snapshotters.plain]
type = "overlayfs"
upperdir_label = true
mount_options = ["volatile", "metacopy=on"]
[snapshotters.lazuli]
type = "lazy"
[proxy_plugins.soci]
type = "snapshot"
address = "/run/soci-snapshotter-grpc/soci-snapshotter-grpc.sock"
platform = "linux/amd64"
capabilities = ["remap-ids"]
[proxy_plugins.soci.exports]
root = "/var/lib/soci-snapshotter-grpc"
enable_remote_snapshot_annotations = "true"
[proxy_plugins."host.overlay"]
type = "io.containerd.snapshotter.v1"
address = "/run/containerd/containerd.sock"
snapshotter = "overlayfs"
namespace = "lazuli"
connect_timeout = "1s"
call_timeout = "30s"
`;

t.test("readConfig() reads tables that the operator names", async (t) => {
  const { snapshotters, proxyPlugins }: Config = readConfig({ text: whole });
  t.match(snapshotters, {
    fast: { type: "btrfs", root: "/data/fast", address: "/run/fast.sock", syncRemove: false },
    plain: { type: "overlayfs", upperdirLabel: true, mountOptions: ["volatile", "metacopy=on"] },
    lazuli: { type: "lazy", root: undefined, mountOptions: [] },
  });
  t.match(proxyPlugins, {
    soci: {
      type: "snapshot",
      platform: "linux/amd64",
      capabilities: ["remap-ids"],
      exports: {
        root: "/var/lib/soci-snapshotter-grpc",
        enable_remote_snapshot_annotations: "true",
      },
      snapshotter: undefined,
      namespace: undefined,
      connectTimeoutMs: 5000,
      callTimeoutMs: 300_000,
    },
    "host.overlay": { snapshotter: "overlayfs", namespace: "lazuli", connectTimeoutMs: 1000 },
  });
  t.same(Object.keys(readConfig({}).snapshotters), [], "there are none by default");
});

t.test("dumpConfig() writes named tables so that they read back to the same", async (t) => {
  const config = readConfig({ text: whole });
  t.strictSame(readConfig({ text: dumpConfig(config) }), config);
});

t.test("readConfig() says what is wrong in a named table, all at once", async (t) => {
  const problem = problemOf(`
    [snapshotters.one]
    typ = "btrfs"
    [snapshotters.two]
    type = "zfs"
    address = "relative"
    mount_options = "volatile"
    [snapshotters."-bad"]
    type = "native"
    [proxy_plugins]
    flat = 3
    [proxy_plugins.content]
    type = "contents"
    [proxy_plugins.diff.exports]
    root = 5
  `);
  t.match(problem, /unknown key "typ" in \[snapshotters\.one\], did you mean "type"\?/);
  t.match(problem, /snapshotters\.one\.type is missing: want "lazy" or "overlayfs" or "btrfs" or "native"/);
  t.match(problem, /snapshotters\.two\.type: want "lazy" or .* got "zfs"/);
  t.match(problem, /snapshotters\.two\.address: want absolute path/);
  t.match(problem, /snapshotters\.two\.mount_options: want list of texts/);
  t.match(problem, /\[snapshotters\.-bad\]: identifier "-bad" must match/);
  t.match(problem, /"proxy_plugins\.flat" must be a table/);
  t.match(problem, /proxy_plugins\.content\.type: want "snapshot" or "content" or .* got "contents"/);
  t.match(problem, /proxy_plugins\.content\.address is missing: want absolute path of a Unix socket/);
  t.match(problem, /proxy_plugins\.diff\.exports: want text/);
  t.match(
    problemOf('snapshotters = "btrfs"'),
    /"snapshotters" must hold tables, written \[snapshotters\.fast\]/,
  );
  t.match(problemOf('[snapshotter.fast]\ntype = "btrfs"'), /unknown key "fast" in \[snapshotter\]/);
  t.match(problemOf("[proxy_plugin.x]"), /did you mean "proxy_plugins"\?/);
  const many = Array.from({ length: 65 }, (_, index) => `[snapshotters.s${index}]\ntype = "native"\n`);
  t.match(problemOf(many.join("")), /want at most 64 tables, got 65/);
});

t.test("readConfig() refuses tables that do not fit together", async (t) => {
  const lazy = (name: string): string => `[snapshotters.${name}]\ntype = "lazy"\n`;
  t.match(problemOf(lazy("a") + lazy("b")), /only one snapshotter can be of type "lazy", got a and b/);
  t.match(
    problemOf(`${lazy("a")}root = "/x"`),
    /snapshotters\.a\.root is for overlayfs, btrfs and native only/,
  );
  t.match(problemOf(`${lazy("a")}sync_remove = true`), /snapshotters\.a\.sync_remove is for/);
  const copy = '[snapshotters.copy]\ntype = "native"\n';
  t.match(
    problemOf(`${copy}upperdir_label = true`),
    /upperdir_label is for overlayfs only, got type "native"/,
  );
  t.match(problemOf(`${copy}mount_options = ["x"]`), /mount_options is for overlayfs only/);
  t.match(
    problemOf(`${copy}[proxy_plugins.copy]\ntype = "snapshot"\naddress = "/s"`),
    /\[proxy_plugins\.copy\] and \[snapshotters\.copy\] have the same name/,
  );
  const other = '[snapshotters.other]\ntype = "native"\n';
  const clash = `${copy}root = "/r"\naddress = "/run/lazuli/snapshotter.sock"\n${other}root = "/r"\n`;
  t.match(problemOf(clash), /snapshotters\.copy\.address is that of snapshotter\.address/);
  t.match(problemOf(clash), /snapshotters\.other\.root is that of snapshotters\.copy\.root/);
});
