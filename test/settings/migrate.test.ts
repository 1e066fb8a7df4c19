import { execFileSync } from "node:child_process";
import { access, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "smol-toml";
import t, { type Test } from "tap";
import { readConfig } from "../../src/daemon/index.js";
import { type Migration, migrateConfig, readContainerdConfig } from "../../src/settings/index.js";

const newer = fileURLToPath(new URL("../../../build/newer/bin/containerd", import.meta.url));

async function folderWith(t: Test, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-settings-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

async function migrated(t: Test, text: string): Promise<Migration> {
  const folder = await folderWith(t, { "config.toml": text });
  const migration = migrateConfig(await readContainerdConfig(join(folder, "config.toml")));
  readConfig({ text: stringify(migration.document) });
  return migration;
}

function droppedKeys({ dropped }: Migration): string[] {
  return dropped.map(({ key }) => key).sort();
}

t.test(
  "migrateConfig() takes the default files of both containerds, and leaves out only what is another's",
  async (t) => {
    for (const program of ["containerd", newer]) {
      if (program === newer && (await access(newer).catch(() => "missing")) === "missing") {
        t.comment("without containerd 2: scripts/fetch-newer-containerd.sh gets it");
        continue;
      }
      const text = execFileSync(program, ["config", "default"], { encoding: "utf8" });
      const migration = await migrated(t, text);
      for (const { key, reason } of migration.dropped) {
        if (/not a key/.test(reason)) t.fail(`${program}: ${key} ${reason}`);
      }
      const config = readConfig({ text: stringify(migration.document) });
      t.equal(config.root, "/var/lib/lazuli", "not containerd's folder");
      t.match(config.criImages.pinnedImages.sandbox, /^registry\.k8s\.io\/pause:3/);
      t.strictSame(config.decryption.keys, ["/etc/containerd/ocicrypt/keys"]);
      t.strictSame(config.streamProcessors, Object.create(null), "lazuli decrypts by itself");
      t.strictSame(config.gc, readConfig({}).gc);
      t.equal(config.criRuntimes.runc?.runtimeType, "io.containerd.runc.v2");
    }
  },
);

t.test("migrateConfig() reads a file of form 1, whose plugins have short names", async (t) => {
  const migration = await migrated(
    t,
    `root = "/data/containerd"
oom_score = -999
disabled_plugins = ["cri", "aufs"]
[grpc]
  address = "/run/k3s/containerd/containerd.sock"
  uid = 7
  gid = 9
  max_recv_message_size = 1048576
[debug]
  level = "trace"
[plugins.scheduler]
  pause_threshold = 0.9
  schedule_delay = "1m30s"
[plugins.cri]
  systemd_cgroup = true
  sandbox_image = "k8s.gcr.io/pause:3.1"
  stream_server_port = "10010"
  [plugins.cri.containerd]
    snapshotter = "devmapper"
    [plugins.cri.containerd.default_runtime]
      runtime_type = "io.containerd.runtime.v1.linux"
      runtime_engine = "/usr/bin/crun"
    [plugins.cri.containerd.untrusted_workload_runtime]
      runtime_type = ""
  [plugins.cri.cni]
    bin_dir = "/usr/lib/cni"
    max_conf_num = 0
[plugins.linux]
  shim_debug = true
`,
  );
  t.match(migration.document, {
    daemon: {
      address: "/run/k3s/containerd/containerd.sock",
      uid: 7,
      gid: 9,
      max_recv_message_size: "1048576B",
    },
    log: { level: "debug" },
    gc: { pause_threshold: 0.5, schedule_delay: "90s" },
    cri: {
      disable: true,
      stream_server_port: 10_010,
      images: { pinned_images: { sandbox: "k8s.gcr.io/pause:3.1" } },
      cni: { bin_dirs: ["/usr/lib/cni"], max_conf_num: 64 },
      runtime: {
        default_runtime_name: "default",
        runtimes: {
          default: { runtime_type: "io.containerd.runc.v2", options: { BinaryName: "/usr/bin/crun" } },
        },
      },
    },
  });
  t.strictSame(droppedKeys(migration), [
    "disabled_plugins",
    "oom_score",
    "plugins.'io.containerd.cri.v1.images'.snapshotter",
    "plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.default.runtime_type",
    "plugins.'io.containerd.cri.v1.runtime'.systemd_cgroup",
    "plugins.'io.containerd.runtime.v1.linux'.shim_debug",
    "root",
  ]);
  const taken = migration.taken.find(({ to }) => to === "gc.schedule_delay");
  t.equal(taken?.from, "plugins.'io.containerd.gc.v1.scheduler'.schedule_delay");
});

t.test("migrateConfig() makes hosts.toml of a form 2 registry, and shows no secret", async (t) => {
  const migration = await migrated(
    t,
    `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    [plugins."io.containerd.grpc.v1.cri".registry.mirrors]
      "docker.io" = { endpoint = ["https://mirror.example/v2/hub", "http://plain.example:5000"] }
      "*" = { endpoint = ["https://all.example"] }
      "../../etc" = { endpoint = ["https://evil.example"] }
    [plugins."io.containerd.grpc.v1.cri".registry.configs."mirror.example".tls]
      insecure_skip_verify = true
      ca_file = "/ca.pem"
      cert_file = "/c.pem"
      key_file = "/k.pem"
    [plugins."io.containerd.grpc.v1.cri".registry.configs."mirror.example".auth]
      username = "joe"
      password = "open-sesame"
    [plugins."io.containerd.grpc.v1.cri".registry.auths."https://old.example"]
      auth = "b3Blbi1zZXNhbWU="
    [plugins."io.containerd.grpc.v1.cri".registry.headers]
      X-Node = ["one"]
`,
  );
  const files = Object.fromEntries(migration.hosts.map(({ host, text }) => [host, text]));
  t.strictSame(Object.keys(files).sort(), ["_default", "docker.io", "mirror.example"]);
  const hub = files["docker.io"] ?? "";
  t.match(hub, /\[host\."https:\/\/mirror\.example\/v2\/hub"\]/);
  t.match(hub, /override_path = true/);
  t.match(hub, /skip_verify = true\nca = "\/ca\.pem"/);
  t.match(hub, /client = \[ \[ "\/c\.pem", "\/k\.pem" \] \]/);
  t.match(hub, /\[host\."http:\/\/plain\.example:5000"\.header\]\nX-Node = \[ "one" \]/);
  t.ok(hub.indexOf("mirror.example") < hub.indexOf("plain.example"), "mirrors keep their order");
  const all = JSON.stringify({ ...migration, document: migration.document });
  t.notMatch(all, /open-sesame|b3Blbi1|joe/);
  t.match(
    migration.dropped.find(({ key }) => key.endsWith("configs.'mirror.example'.auth")),
    { value: undefined, reason: /docker login/ },
  );
});

t.test("migrateConfig() takes plugins and programs of a form 3 file", async (t) => {
  const migration = await migrated(
    t,
    `version = 3
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "soci"
  discard_unpacked_layerz = true
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "/a/certs.d:/b/certs.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]
  runtime_type = "io.containerd.kata.v2"
  snapshotter = "btrfs"
  sandboxer = "shim"
  surprise = 1
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata.options]
    ConfigPath = "/kata.toml"
[plugins.'io.containerd.snapshotter.v1.btrfs']
  root_path = "/btrfs/containerd"
[plugins.'io.containerd.snapshotter.v1.overlayfs']
  upperdir_label = true
[plugins.'io.containerd.nri.v1.nri']
  disable = true
  plugin_request_timeout = "0"
[proxy_plugins.soci]
  type = "snapshot"
  address = "/run/soci.sock"
  [proxy_plugins.soci.exports]
    root = "/var/lib/soci"
[proxy_plugins.lazuli]
  type = "snapshot"
  address = "/run/lazuli/snapshotter.sock"
[proxy_plugins.odd]
  type = "metadata"
  address = "/x.sock"
[stream_processors.mine]
  accepts = ["a/b"]
  returns = "application/vnd.oci.image.layer.v1.tar"
  path = "/bin/mine"
[stream_processors.other]
  accepts = ["application/vnd.oci.image.layer.v1.tar+encrypted"]
  returns = "application/vnd.oci.image.layer.v1.tar"
  path = "/usr/bin/ctd-decoder"
  args = ["--decryption-keys-path", "/my/keys"]
[timeouts]
  'io.containerd.timeout.shim.load' = "9s"
`,
  );
  t.match(migration.document, {
    registry: { config_path: ["/a/certs.d", "/b/certs.d"] },
    proxy_plugins: { soci: { type: "snapshot", exports: { root: "/var/lib/soci" } } },
    stream_processors: { mine: { path: "/bin/mine" } },
    decryption: { keys: ["/my/keys"] },
    snapshotters: { btrfs: { type: "btrfs" } },
    nri: { disable: true, plugin_request_timeout: "86400s" },
    cri: {
      images: { snapshotter: "soci" },
      runtime: {
        runtimes: {
          kata: { snapshotter: "btrfs", sandboxer: "shim", options: { ConfigPath: "/kata.toml" } },
        },
      },
    },
  });
  const reasons = Object.fromEntries(
    migration.dropped.map(({ key, reason }) => [key.split(".").at(-1), reason]),
  );
  t.match(migration.document, { shims: { load_timeout: "9s" } });
  t.match(reasons.discard_unpacked_layerz, /"discard_unpacked_layers" perhaps/);
  t.match(reasons.lazuli, /lazuli itself/);
  t.match(reasons.odd, /not a plugin of a kind/);
  t.match(reasons.surprise, /not a key of a runtime/);
  t.match(reasons.upperdir_label, /the lazy snapshotter has this name/);
  t.match(reasons.root_path, /give \[snapshotters\.btrfs\] another root/);
});

t.test("readContainerdConfig() lays imports on one another, each by its own form", async (t) => {
  const folder = await folderWith(t, {
    "config.toml": `version = 4
imports = ["conf.d/*.toml", "last.toml", "none/*.toml"]
disabled_plugins = ["a.b.c", "d.e.f"]
[proxy_plugins.one]
  type = "snapshot"
  address = "/one.sock"
  platform = "linux/amd64"
[plugins.'io.containerd.server.v1.metrics']
  address = "127.0.0.1:1338"
`,
    "conf.d/b.toml": 'version = 3\nimports = ["../config.toml"]\n[metrics]\n  address = "127.0.0.1:1339"\n',
    "conf.d/a.toml": `version = 2
disabled_plugins = ["d.e.f", "g.h.i"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "pause:1"
[metrics]
  address = "127.0.0.1:1"
`,
    "conf.d/not-toml.txt": "[[",
    "last.toml":
      '[proxy_plugins.one]\n  type = "content"\n  address = "/two.sock"\n[plugins.__proto__]\n  x = 1\n',
  });
  const file = join(folder, "config.toml");
  const { document, files } = await readContainerdConfig(file);
  t.strictSame(
    files.map(({ path, version }) => [path.slice(folder.length + 1), version]),
    [
      ["config.toml", 4],
      ["conf.d/a.toml", 2],
      ["conf.d/b.toml", 3],
      ["last.toml", 1],
    ],
  );
  t.strictSame(document.disabled_plugins, ["a.b.c", "d.e.f", "g.h.i"]);
  t.same(document.proxy_plugins, { one: { type: "content", address: "/two.sock" } }, "replaced whole");
  const { document: ours } = migrateConfig({ document });
  t.match(ours, { metrics: { address: "127.0.0.1:1339" } });
  t.match(ours, { cri: { images: { pinned_images: { sandbox: "pause:1" } } } });
  t.equal(({} as { x?: number }).x, undefined, "nothing got into the prototype");
});

t.test("readContainerdConfig() says which file it can't read, and why", async (t) => {
  const many = Array.from({ length: 70 }, (_, index) => [`many/${index}.toml`, ""]);
  const folder = await folderWith(t, {
    "broken.toml": "version = 2\n[a\n",
    "future.toml": "version = 5\n",
    "many.toml": 'imports = ["many/*.toml"]\n',
    "imports.toml": 'imports = ["gone.toml"]\n',
    ...Object.fromEntries(many),
  });
  const read = (name: string) => readContainerdConfig(join(folder, name));
  await t.rejects(read("none.toml"), { code: "NOT_FOUND", reason: "containerd-config-missing" });
  await t.rejects(read("imports.toml"), { code: "NOT_FOUND", subject: join(folder, "gone.toml") });
  await t.rejects(read("broken.toml"), { code: "INVALID_ARGUMENT", message: /at line [23]/ });
  await t.rejects(read("future.toml"), {
    reason: "containerd-version-unknown",
    message: /got 5, in .*future/,
  });
  await t.rejects(read("many.toml"), { code: "INVALID_ARGUMENT", reason: "containerd-imports-many" });
});
