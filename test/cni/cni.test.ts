import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t, { type Test } from "tap";
import { openCni, pinNamespaces, unpinNamespace } from "../../src/cni/index.js";
import { loadBinding } from "../../src/fuse/index.js";

const run = promisify(execFile);
const binding = loadBinding();
const PLUGINS = "/usr/lib/cni";

interface Place {
  readonly folder: string;
  readonly confFolder: string;
  readonly stateFolder: string;
}

async function place(t: Test): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cni-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const confFolder = join(folder, "net.d");
  await mkdir(confFolder);
  return { folder, confFolder, stateFolder: join(folder, "state") };
}

function bridgeConf(name: string, subnet: number): string {
  return JSON.stringify({
    cniVersion: "1.0.0",
    name,
    plugins: [
      {
        type: "bridge",
        bridge: name,
        isGateway: true,
        ipam: {
          type: "host-local",
          dataDir: `/run/${name}-cni`,
          ranges: [[{ subnet: `10.199.${subnet}.0/24` }]],
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  });
}

async function pinned(t: Test, path: string): Promise<string> {
  await pinNamespaces({ binding, network: path });
  t.teardown(() => unpinNamespace({ binding, path }));
  return path;
}

const plain = { args: { IgnoreUnknown: "1", K8S_POD_NAME: "one" }, capabilities: {} };

t.test("add() gives a pod loopback and an address, remove() takes both back", async (t) => {
  const { folder, ...folders } = await place(t);
  const bridge = `lzt${process.pid % 10000}`;
  t.teardown(async () => {
    await run("ip", ["link", "delete", bridge]).catch(() => undefined); // Never made where add() failed.
    await rm(`/run/${bridge}-cni`, { recursive: true, force: true });
  });
  await writeFile(join(folders.confFolder, "10-one.conflist"), bridgeConf(bridge, 1));
  const cni = openCni({ ...folders, pluginFolders: [PLUGINS], confMax: 1 });
  t.match(await cni.status(), { isReady: true, networks: [{ name: bridge }] });
  const netns = await pinned(t, join(folder, "netns"));
  const attachment = { id: "pod-1", netns, ...plain };
  const { addresses, interfaces } = await cni.add(attachment);
  t.match(addresses, [{ address: /^10\.199\.1\.\d+\/24$/, interface: "eth0", gateway: "10.199.1.1" }]);
  t.ok(interfaces.some(({ name, mac }) => name === "eth0" && mac !== undefined));
  const { stdout } = await run("nsenter", [`--net=${netns}`, "ip", "-o", "addr"]);
  t.match(stdout, /lo .*127\.0\.0\.1/, "loopback is up");
  t.match(stdout, /eth0 .*10\.199\.1\./);
  await cni.check(attachment);
  await cni.remove(attachment);
  t.notMatch((await run("nsenter", [`--net=${netns}`, "ip", "-o", "link"])).stdout, /eth0/);
  t.strictSame(await readdir(folders.stateFolder), [], "nothing is kept of it");
  await cni.remove(attachment);
});

t.test("remove() works with the config and the namespace gone, collect() takes what pods left", async (t) => {
  const { folder, ...folders } = await place(t);
  const bridge = `lzu${process.pid % 10000}`;
  t.teardown(async () => {
    await run("ip", ["link", "delete", bridge]).catch(() => undefined); // Never made where add() failed.
    await rm(`/run/${bridge}-cni`, { recursive: true, force: true });
  });
  const conf = join(folders.confFolder, "10-one.conflist");
  await writeFile(conf, bridgeConf(bridge, 2));
  const cni = openCni({ ...folders, pluginFolders: [PLUGINS], confMax: 1 });
  for (const id of ["pod-1", "pod-2", "pod-3"]) {
    const netns = join(folder, id);
    await pinNamespaces({ binding, network: netns });
    await cni.add({ id, netns, ...plain });
    await unpinNamespace({ binding, path: netns });
  }
  await rm(conf);
  await cni.remove({ id: "pod-1", netns: "", ...plain });
  // What a kill leaves in the middle of a write.
  await writeFile(join(folders.stateFolder, "pod-4@eth0.json.new"), "{");
  await cni.collect({ ids: new Set(["pod-3"]) });
  t.strictSame(
    (await readdir(folders.stateFolder)).map((name) => name.split("@")[0]),
    ["pod-3", "pod-3"],
  );
  const leases = await readdir(`/run/${bridge}-cni/${bridge}`);
  t.equal(leases.filter((name) => name.startsWith("10.")).length, 1, "one address is taken");
  await cni.remove({ id: "pod-3", netns: "", ...plain });
});

t.test("add() undoes what it did when a later plugin fails, and tells the plugin's words", async (t) => {
  const { folder, ...folders } = await place(t);
  const plugins = join(folder, "bin");
  await mkdir(plugins);
  const calls = join(folder, "calls");
  const script = (body: string): string =>
    `#!/bin/sh\ncat >/dev/null\necho "$CNI_COMMAND $CNI_IFNAME $0" >>${calls}\n${body}\n`;
  await writeFile(join(plugins, "loopback"), script("echo '{}'"));
  await writeFile(join(plugins, "good"), script('echo \'{"cniVersion":"1.0.0"}\''));
  await writeFile(
    join(plugins, "bad"),
    script('[ "$CNI_COMMAND" = ADD ] || exit 0\necho \'{"code":7,"msg":"no addresses left"}\'; exit 1'),
  );
  for (const name of ["loopback", "good", "bad"]) await chmod(join(plugins, name), 0o755);
  await writeFile(
    join(folders.confFolder, "1.conflist"),
    JSON.stringify({ cniVersion: "1.0.0", name: "n", plugins: [{ type: "good" }, { type: "bad" }] }),
  );
  const cni = openCni({ ...folders, pluginFolders: [plugins], confMax: 1 });
  await t.rejects(cni.add({ id: "p", netns: "/none", ...plain }), {
    message: 'plugin type="bad" failed (add): no addresses left',
    reason: "cni-plugin-failed",
  });
  const made = (await readFile(calls, "utf8"))
    .trim()
    .split("\n")
    .map((line) => line.replace(`${plugins}/`, ""));
  t.strictSame(made, [
    "ADD lo loopback",
    "ADD eth0 good",
    "ADD eth0 bad",
    "DEL eth0 bad",
    "DEL eth0 good",
    "DEL lo loopback",
  ]);
  t.strictSame(await readdir(folders.stateFolder), []);
});

t.test("plugins get the capabilities that they have and the result of the one before", async (t) => {
  const { folder, ...folders } = await place(t);
  const plugins = join(folder, "bin");
  await mkdir(plugins);
  await writeFile(join(plugins, "loopback"), "#!/bin/sh\necho '{}'\n");
  for (const name of ["first", "second"]) {
    await writeFile(
      join(plugins, name),
      `#!/bin/sh\ncat >${folder}/${name}-$CNI_COMMAND\necho "$CNI_ARGS" >${folder}/args\necho '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}],"by":"${name}"}'\n`,
    );
  }
  for (const name of ["loopback", "first", "second"]) await chmod(join(plugins, name), 0o755);
  const list = {
    cniVersion: "1.0.0",
    name: "n",
    plugins: [
      { type: "first", bridge: "b" },
      { type: "second", capabilities: { bandwidth: true } },
    ],
  };
  await writeFile(join(folders.confFolder, "1.conflist"), JSON.stringify(list));
  const cni = openCni({ ...folders, pluginFolders: [plugins], confMax: 1 });
  const wanted = { bandwidth: { ingressRate: 1 }, portMappings: [] };
  const attachment = { id: "p", netns: "/n", args: { A: "1", B: "2" }, capabilities: wanted };
  const { addresses, raw } = await cni.add(attachment);
  t.match(addresses, [{ address: "10.0.0.2/24" }]);
  t.equal(raw["by"], "second");
  const read = async (name: string): Promise<unknown> =>
    JSON.parse(await readFile(join(folder, name), "utf8"));
  t.strictSame(await read("first-ADD"), { type: "first", bridge: "b", name: "n", cniVersion: "1.0.0" });
  t.match(await read("second-ADD"), {
    runtimeConfig: { bandwidth: { ingressRate: 1 } },
    prevResult: { by: "first" },
  });
  t.notMatch(await read("second-ADD"), { runtimeConfig: { portMappings: [] } });
  t.equal((await readFile(join(folder, "args"), "utf8")).trim(), "A=1;B=2");
  await cni.remove(attachment);
  t.match(await read("first-DEL"), { prevResult: { by: "second" } });
});

t.test("status() tells why pods get no network", async (t) => {
  const { folder, ...folders } = await place(t);
  const of = async (pluginFolders: string[]): Promise<unknown> =>
    await openCni({ ...folders, pluginFolders, confMax: 1 }).status();
  t.match(await of([PLUGINS]), {
    isReady: false,
    problem: { reason: "cni-not-ready", message: /cni plugin not initialized/ },
  });
  const conf = join(folders.confFolder, "1.conflist");
  await writeFile(conf, JSON.stringify({ cniVersion: "1.0.0", name: "n", plugins: [{ type: "nowhere" }] }));
  t.match(await of([folder]), {
    isReady: false,
    problem: { reason: "cni-plugin-missing", message: /nowhere/ },
  });
  for (const [text, words] of [
    ["{", /want JSON/],
    ["[]", /a JSON object/],
    ['{"name":"../x","plugins":[{"type":"a"}]}', /want a name/],
    ['{"name":"x","plugins":[]}', /1 to 32 plugins/],
    ['{"name":"x","plugins":[{"type":"../sh"}]}', /name of its program/],
    ['{"name":"x","cniVersion":"one","plugins":[{"type":"a"}]}', /cniVersion/],
    [`{"name":"${"x".repeat(1024 * 1024)}"}`, /at most 1048576 bytes/],
  ] as const) {
    await writeFile(conf, text);
    t.match(await of([PLUGINS]), { isReady: false, problem: { message: words } }, text.slice(0, 40));
  }
});

t.test("a plugin that prints too much, no JSON, or never ends its output is an error", async (t) => {
  const { folder, ...folders } = await place(t);
  const plugins = join(folder, "bin");
  await mkdir(plugins);
  await writeFile(join(plugins, "loopback"), "#!/bin/sh\necho '{}'\n");
  await chmod(join(plugins, "loopback"), 0o755);
  await writeFile(join(folders.confFolder, "1.conf"), JSON.stringify({ name: "n", type: "odd" }));
  const cni = openCni({ ...folders, pluginFolders: [plugins], confMax: 0 });
  for (const [body, words] of [
    ["exec cat /dev/zero", /more than 1048576 bytes/],
    ["echo no", /no JSON object/],
    ["echo oops >&2; exit 3", /oops/],
    ["kill -9 $$", /exit code of a signal/],
  ] as const) {
    await writeFile(join(plugins, "odd"), `#!/bin/sh\n[ "$CNI_COMMAND" = DEL ] && exit 0\n${body}\n`);
    await chmod(join(plugins, "odd"), 0o755);
    await t.rejects(
      cni.add({ id: "p", netns: "/n", ...plain }),
      { reason: "cni-plugin-failed", message: words },
      body,
    );
  }
  await writeFile(join(plugins, "odd"), "#!/bin/sh\n[ $CNI_COMMAND = DEL ] && exit 0\nsleep 60\n");
  const signal = AbortSignal.timeout(100);
  await t.rejects(
    cni.add({ id: "p", netns: "/n", ...plain, signal }),
    { name: "TimeoutError" },
    "a wait ends with its signal",
  );
});

t.test("pinNamespaces() binds a user namespace with the ids that are asked for", async (t) => {
  const { folder } = await place(t);
  const user = join(folder, "user");
  const network = join(folder, "net");
  const range = [{ containerId: 0, hostId: 100000, size: 65536 }];
  await pinNamespaces({ binding, network, user: { path: user, uids: range, gids: range } });
  t.teardown(async () => {
    await unpinNamespace({ binding, path: network });
    await unpinNamespace({ binding, path: user });
  });
  const { stdout } = await run("nsenter", [
    `--user=${user}`,
    `--net=${network}`,
    "sh",
    "-c",
    "cat /proc/self/uid_map; ip link",
  ]);
  t.match(stdout, /^\s*0\s+100000\s+65536\n/);
  t.match(stdout, /lo:/);
  await t.rejects(pinNamespaces({ binding, network }), {
    message: /Cannot make a network namespace/,
    reason: "namespace-refused",
  });
});
