import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import {
  type Config,
  configKeys,
  configPage,
  defaultConfigText,
  dumpConfig,
  loadConfig,
  readConfig,
} from "../../src/daemon/index.js";
import type { LazuliError } from "../../src/errors/index.js";

function problemOf(sources: Parameters<typeof readConfig>[0]): string {
  try {
    readConfig(sources);
  } catch (thrown) {
    return (thrown as LazuliError).message;
  }
  return "no problem";
}

t.test("readConfig() gives every default without a file", async (t) => {
  const config: Config = readConfig({});
  t.equal(config.root, "/var/lib/lazuli");
  t.equal(config.snapshotter.resolveTimeoutMs, 30_000);
  t.equal(config.layer.readaheadMaxBytes, 4 * 1024 * 1024);
  t.equal(config.layer.mount, "auto");
  t.strictSame(config.registry.configPaths, ["/etc/containerd/certs.d"]);
  t.equal(config.metrics.address, undefined);
  t.equal(config.registry.dockerConfig, undefined);
});

t.test("readConfig() lets flags stand above environment above file", async (t) => {
  const text = 'root = "/a/"\n[layer]\nmount = "erofs"\nfuse_threads = 7\nbackground_fill = false\n';
  const environment = { LAZULI_MOUNT: "fuse-tree" };
  t.equal(readConfig({ text }).layer.mount, "erofs");
  t.equal(readConfig({ text }).root, "/a", "a closing slash is taken off");
  t.equal(readConfig({ text }).layer.backgroundFill, false);
  t.equal(readConfig({ text, environment }).layer.mount, "fuse-tree");
  const flags = { "layer-mount": ["auto"], "layer-fuse-threads": ["3"], "layer-background-fill": ["true"] };
  const config = readConfig({ text, environment, flags });
  t.equal(config.layer.mount, "auto");
  t.equal(config.layer.fuseThreads, 3);
  t.equal(config.layer.backgroundFill, true);
  const paths = readConfig({ flags: { "registry-config-path": ["/x", "/y"] } }).registry.configPaths;
  t.strictSame(paths, ["/x", "/y"]);
});

t.test("readConfig() reads the collector's keys as containerd has them", async (t) => {
  const { gc } = readConfig({});
  t.match(gc, { pauseThreshold: 0.02, deletionThreshold: 0, mutationThreshold: 100 });
  t.match(gc, { scheduleDelayMs: 0, startupDelayMs: 100 });
  const text = '[gc]\npause_threshold = 0.5\nschedule_delay = "1s"\nstartup_delay = "0s"\n';
  t.match(readConfig({ text }).gc, { pauseThreshold: 0.5, scheduleDelayMs: 1000, startupDelayMs: 0 });
  t.equal(readConfig({ flags: { "gc-pause-threshold": ["0.1"] } }).gc.pauseThreshold, 0.1);
  t.match(problemOf({ text: "[gc]\npause_threshold = 0.6" }), "number from 0 to 0.5");
  t.match(problemOf({ flags: { "gc-pause-threshold": ["-0"] } }), "number from 0 to 0.5");
  t.match(problemOf({ text: '[gc]\nschedule_delay = "0"' }), "schedule_delay");
});

t.test("readConfig() names every problem at once, and what was meant", async (t) => {
  const text = [
    "roots = 1",
    "adress = 2",
    "[layer]",
    'mount = "erof"',
    'demand_deadlin = "1s"',
    'readahead_max = "0MiB"',
    "[snapshotter]",
    "resolve_timeout = 30",
    'address = "relative.sock"',
    "[registry]",
    "attempts = 0",
    'config_path = "/one"',
    "[containerd]",
    'level = "x"',
  ].join("\n");
  const problem = problemOf({ text, file: "/x.toml" });
  t.match(problem, /unknown key "roots", did you mean "root"/);
  t.match(problem, /unknown key "adress"/);
  t.match(problem, /unknown key "demand_deadlin" in \[layer\], did you mean "demand_deadline"/);
  t.match(problem, /unknown key "level" in \[containerd\], did you mean "log.level"/);
  t.match(problem, /layer\.mount: want "auto" or "erofs" or "fuse-tree", got "erof"/);
  t.match(problem, /layer\.readahead_max: want whole bytes above 0/);
  t.match(problem, /snapshotter\.resolve_timeout: want duration/);
  t.match(problem, /snapshotter\.address: want absolute path/);
  t.match(problem, /registry\.attempts: want whole number from 1 to 20, got 0/);
  t.match(problem, /registry\.config_path: want list/);
});

t.test("readConfig() refuses what is no config", async (t) => {
  t.match(problemOf({ text: "root = ", file: "/x.toml" }), /x\.toml: line 1, column \d+ is not TOML/);
  t.match(problemOf({ text: "layer = 3" }), /"layer" must be a table/);
  t.match(problemOf({ text: `[snapshotter]\naddress = "/${"a".repeat(107)}"` }), /at most 107 bytes/);
  for (const address of ["localhost", "localhost:0", "a b:1", "x:70000", "::1:80"]) {
    t.match(problemOf({ flags: { "metrics-address": [address] } }), /--metrics-address: want "host:port"/);
  }
  for (const address of ["localhost:80", "[::1]:80", "/run/x.sock"]) {
    t.equal(readConfig({ flags: { "metrics-address": [address] } }).metrics.address, address);
  }
});

t.test("dumpConfig() reads back to the same config", async (t) => {
  const flags = {
    root: ["/some where/ü"],
    "metrics-address": ["127.0.0.1:1"],
    "snapshotter-resolve-timeout": ["1m30.5s"],
    "layer-readahead-max": ["1.5MiB"],
  };
  const config = readConfig({ flags });
  t.strictSame(readConfig({ text: dumpConfig(config) }), config);
});

t.test("defaultConfigText() changes nothing as it is, nor with every default uncommented", async (t) => {
  const text = defaultConfigText();
  t.strictSame(readConfig({ text }), readConfig({}));
  const uncommented = text.replace(/^# ((?!group )[a-z_]+ = )/gm, "$1");
  const config = readConfig({ text: uncommented });
  t.equal(config.metrics.address, "127.0.0.1:9410", "an optional key shows its example");
  t.strictSame(config.layer, readConfig({}).layer);
  for (const key of configKeys) t.match(text, `# ${key.field.key} = `);
});

t.test("readConfig() reads the tables of Kubernetes, which lie in one another", async (t) => {
  const text = `version = 1
[cri]
stream_server_port = 10010
[cri.images]
pinned_images = { sandbox = "registry.example/pause:1" }
[cri.cni]
bin_dirs = ["/usr/lib/cni"]
[cri.runtime]
unset_seccomp_profile = "runtime/default"
[cri.runtime.runtimes.kata]
runtime_type = "io.containerd.kata.v2"
options = { ConfigPath = "/k.toml", Debug = true, Count = 2, List = ["a"] }
[nri.default_validator]
enable = true
[cdi]
enable_cdi = false
`;
  const config = readConfig({ text });
  t.equal(config.cri.streamServerPort, 10_010);
  t.strictSame(config.criImages.pinnedImages, { sandbox: "registry.example/pause:1" });
  t.strictSame(config.criCni.binDirs, ["/usr/lib/cni"]);
  t.equal(config.criRuntime.unsetSeccompProfile, "runtime/default");
  t.equal(config.criRuntimes.runc?.runtimeType, "io.containerd.runc.v2", "is there unless it is changed");
  t.strictSame(config.criRuntimes.kata?.options, {
    ConfigPath: "/k.toml",
    Debug: true,
    Count: 2,
    List: ["a"],
  });
  t.equal(config.nriValidator.enable, true);
  t.equal(config.nri.disable, false);
  t.equal(config.cdi.isEnabled, false);
  t.strictSame(readConfig({ text: dumpConfig(config) }), config);
  t.match(problemOf({ text: "[cri.imags]\nx = 1" }), 'unknown key "imags" in [cri], did you mean "images"?');
  t.match(problemOf({ text: "[cri]\nruntime = 1" }), '"cri.runtime" must be a table, written [cri.runtime]');
  t.match(problemOf({ text: "[cri.runtime]\nruntimes = 1" }), '"cri.runtime.runtimes" must hold tables');
  t.match(
    problemOf({ text: "[cri.runtime.runtimes.x]\noptions = {}" }),
    "runtimes.x.runtime_type is missing",
  );
  t.match(problemOf({ text: "[cri.cni]\nconf_dirs = 1" }), 'in [cri.cni], did you mean "conf_dir"?');
});

t.test("readConfig() refuses files of another form, and tells whose they are", async (t) => {
  t.match(problemOf({ text: "version = 2" }), "version: want 1, got 2: the file was written for another");
  t.match(problemOf({ text: 'version = "1"' }), 'version: want 1, got "1"');
  t.match(problemOf({ text: "version = 3\n[plugins.x]" }), /a config of containerd: `lazuli config migrate/);
});

t.test("readConfig() refuses a socket for others where they can't come", async (t) => {
  const open = '[daemon]\naddress = "/run/lazuli-api/api.sock"\n';
  t.match(readConfig({ text: `${open}gid = 5\nmax_recv_message_size = "4MiB"` }).daemon, {
    gid: 5,
    receivedMessageBytesMax: 4 * 1024 * 1024,
  });
  t.match(problemOf({ text: "[daemon]\ngid = 5" }), "nobody but root gets to a socket below state");
  t.match(problemOf({ text: `${open}gid = 5\ngroup = "x"` }), "daemon.group and daemon.gid both");
});

t.test("docs/config.md and deploy/config.toml are what the table says", async (t) => {
  const page = await readFile(fileURLToPath(new URL("../../../docs/config.md", import.meta.url)), "utf8");
  t.equal(page, configPage());
  const example = await readFile(
    fileURLToPath(new URL("../../../deploy/config.toml", import.meta.url)),
    "utf8",
  );
  t.equal(example, defaultConfigText());
});

t.test("the keys have flags of their own", async (t) => {
  t.equal(new Set(configKeys.map((key) => key.flag)).size, configKeys.length);
});

t.test("loadConfig() takes a missing file only where nobody named it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-config-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "config.toml");
  const missing = loadConfig({ file, environment: {}, flags: {} });
  await t.rejects(missing, { code: "NOT_FOUND", reason: "config-missing", subject: file });
  await writeFile(file, '[log]\nlevel = "debug"\n');
  const byVariable = await loadConfig({ file: undefined, environment: { LAZULI_CONFIG: file }, flags: {} });
  t.equal(byVariable.config.log.level, "debug");
  t.equal(byVariable.file, file);
  await writeFile(file, `# ${"x".repeat(1024 * 1024)}`);
  await t.rejects(loadConfig({ file, environment: {}, flags: {} }), {
    code: "INVALID_ARGUMENT",
    reason: "config-too-large",
  });
});
