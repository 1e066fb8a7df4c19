import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { runPlugin } from "../../src/cni/run-plugin.js";
import { takeServiceEnvironment } from "../../src/daemon/service-environment.js";
import { loadBinding } from "../../src/fuse/index.js";
import { openMetadata } from "../../src/metadata/index.js";
import { startPlugin } from "../../src/nri/installed-plugins.js";
import { Program } from "../../src/processors/program.js";
import { KubeletCredentials } from "../../src/registry/index.js";
import { runProgram } from "../../src/runtime/run-program.js";
import { folderVerifier } from "../../src/transfer/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { projectRoot } from "../../testing/rig/lab.js";

const CLOSE_ON_EXEC = 0o2000000;
const signal = new AbortController().signal;
const digest = `sha256:${"0".repeat(64)}` as const;

interface Place {
  /** The program, which writes down what it has open and answers `output`. */
  program(path: string, output?: string): Promise<string>;
  readonly folder: string;
}

/** Each kind of program that the daemon starts with an interface of its own. */
const kinds: Readonly<Record<string, (place: Place) => Promise<unknown>>> = {
  "a credential provider": async ({ folder, program }) => {
    const api = "credentialprovider.kubelet.k8s.io/v1";
    const answer = { kind: "CredentialProviderResponse", apiVersion: api, cacheKeyType: "Image", auth: {} };
    await program("plugin", JSON.stringify(answer));
    const configPath = join(folder, "providers.json");
    const provider = {
      name: "plugin",
      apiVersion: api,
      matchImages: ["a.example"],
      defaultCacheDuration: "1h",
    };
    const config = {
      apiVersion: "kubelet.config.k8s.io/v1",
      kind: "CredentialProviderConfig",
      providers: [provider],
    };
    await writeFile(configPath, JSON.stringify(config));
    const credentials = new KubeletCredentials({ configPath, folder });
    return await credentials.find({ host: "a.example", repository: "x", fresh: false });
  },
  "an image verifier": async ({ folder, program }) => {
    await mkdir(join(folder, "verifiers"));
    await program("verifiers/one", "fine");
    const verifier = folderVerifier({
      folder: join(folder, "verifiers"),
      programsMax: 1,
      programTimeoutMs: 60_000,
    });
    const descriptor = { mediaType: "x/y", digest, size: 1, annotations: {}, platform: undefined };
    return await verifier.judge({ name: "a", descriptor, signal } as never);
  },
  "a CNI plugin": async ({ folder, program }) => {
    await program("bridge", "{}");
    return await runPlugin({
      type: "bridge",
      folders: [folder],
      command: "VERSION",
      environment: {},
      conf: {},
    });
  },
  "an NRI plugin": async ({ program }) => {
    const running = startPlugin({
      name: { index: "10", base: "x" } as never,
      path: await program("10-x"),
      config: "",
    });
    await new Promise<void>((resolve) => running.stream.once("close", () => resolve()));
    await running.end();
  },
  "a stream processor": async ({ program }) => {
    const path = await program("processor", "out");
    const started = new Program({
      path,
      args: [],
      environment: {},
      inherited: new Set(),
      payload: undefined,
    });
    started.endInput();
    started.stdout.resume();
    await started.ended;
  },
  "a shim": async ({ folder, program }) =>
    await runProgram({
      program: await program("shim"),
      args: ["start"],
      folder,
      env: {},
      stdin: new Uint8Array(),
      timeoutMs: 60_000,
    }),
};

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-started-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

t.test("no program that is started has a file of ours but its own streams", async (t) => {
  const folder = await folderOf(t);
  // lmdb leaves its file open to children by itself.
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  t.teardown(() => metadata.close());
  const ours = await readdir("/proc/self/fd");
  const paths = await Promise.all(ours.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  t.ok(
    paths.some((path) => path.endsWith("metadata.lmdb")),
    "there is a file to inherit",
  );
  for (const [name, start] of Object.entries(kinds)) {
    const place = join(folder, name.replaceAll(" ", "-"));
    await mkdir(place);
    const seen = join(place, "seen");
    const program = async (path: string, output = ""): Promise<string> => {
      const whole = join(place, path);
      // The shell itself has the script open, and what is read from it.
      const script = `#!/bin/sh\nfor fd in /proc/$$/fd/*; do echo "$(basename $fd) $(readlink $fd)"; done > ${seen}\nprintf %s '${output}'\n`;
      await writeFile(whole, script);
      await chmod(whole, 0o755);
      return whole;
    };
    await start({ folder: place, program });
    const lines = (await readFile(seen, "utf8")).trim().split("\n");
    const strange = lines.filter(
      (line) => !/ (pipe:|socket:|\/dev\/null)/.test(line) && !line.includes(place),
    );
    t.ok(lines.length >= 3, `${name} said what it has open`);
    t.same(strange, [], name);
    t.ok(
      lines.filter((line) => /^\d+ (pipe|socket):/.test(line)).length <= 4,
      `${name} has its own streams only`,
    );
  }
});

t.test(
  "every file of a running daemon is closed in what it starts, also what it was started with",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await folderOf(t);
    cleanup.add(() => unmountBelow(folder));
    const config = join(folder, "config.toml");
    const socket = join(folder, "d.sock");
    const nri = `[nri]\nsocket_path = "${join(folder, "nri.sock")}"\n`;
    await writeFile(
      config,
      `root = "${folder}/root"\nstate = "${folder}/state"\n[daemon]\naddress = "${socket}"\n${nri}`,
    );
    const script = `exec 40</etc/hostname 41<${folder}
${join(projectRoot, "bin/lazuli")} daemon --config ${config} 2>${folder}/log & pid=$!
while kill -0 $pid && ! grep -q '"Ready"' ${folder}/log; do sleep 0.1; done
for fd in /proc/$pid/fd/*; do
  echo "$(basename $fd) $(sed -n 's/^flags:[[:space:]]*//p' /proc/$pid/fdinfo/$(basename $fd)) $(readlink $fd)"
done
kill $pid; wait $pid`;
    const { stdout } = await command("bash", ["-c", script]);
    const files = stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
    t.ok(files.length > 20, `${files.length} files`);
    t.ok(
      files.some(([number]) => number === "40"),
      "the one that it was started with",
    );
    const open = files.filter(
      ([number, flags]) =>
        Number(number) > 2 && (Number.parseInt(flags ?? "", 8) & CLOSE_ON_EXEC) === 0 && flags !== "",
    );
    t.same(open, [], "nothing is left open");
  },
);

t.test("takeServiceEnvironment() leaves nothing of systemd to what is started", async (t) => {
  const names = ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "CREDENTIALS_DIRECTORY"];
  for (const name of names) process.env[name] = `canary-${name}`;
  process.env.LAZULI_KEPT = "kept";
  t.teardown(() => delete process.env.LAZULI_KEPT);
  const environment = takeServiceEnvironment(process.env);
  for (const name of names) t.equal(environment[name], `canary-${name}`, "for this process");
  const { stdout } = await command("env", []);
  t.notMatch(stdout, "canary-");
  t.match(stdout, "LAZULI_KEPT=kept");
});

t.test("closeOnExec() leaves the files usable", async (t) => {
  const path = join(await folderOf(t), "file");
  await writeFile(path, "text");
  loadBinding().closeOnExec();
  t.equal(await readFile(path, "utf8"), "text");
});
