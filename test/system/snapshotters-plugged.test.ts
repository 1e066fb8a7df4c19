import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { createProxySnapshotter } from "../../src/snapshotters/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd, unmountBelow } from "../../testing/rig/containerd.js";
import { type RunningDaemon, startDaemon } from "../../testing/rig/daemon.js";
import { startService } from "../../testing/rig/service.js";
import { startSnapshotter } from "../../testing/rig/snapshotter.js";
import { fetchSoci, privateRoot } from "../soci/soci-tool.js";
import {
  emptyNameIsInvalid,
  ownOptionsLast,
  withoutIndexOption,
  withoutOuterNamespace,
  withoutWrapping,
} from "./snapshotters-differences.js";
import { Asker, collectOnce, type Said } from "./snapshotters-rig.js";
import { allSteps, ask } from "./snapshotters-steps.js";

t.setTimeout(240_000);

/** Where the daemon keeps its own in the host's containerd. */
const OUTER_NAMESPACE = "of-lazuli";

/** Someone else's snapshotter, that ends and comes back on the same folders. */
interface Plugin {
  readonly name: string;
  readonly socket: string;
  /** Further keys of its table. */
  readonly keys: string;
  stop(signal?: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
}

type Running = { stop(signal?: NodeJS.Signals): Promise<void> };

async function startPlugin(
  cleanup: Cleanup,
  facts: Pick<Plugin, "name" | "socket" | "keys">,
  open: () => Promise<Running>,
): Promise<Plugin> {
  let running: Running | undefined;
  cleanup.add(() => running?.stop());
  running = await open();
  return {
    ...facts,
    stop: async (signal) => await running!.stop(signal),
    start: async () => {
      running = await open();
    },
  };
}

async function startSoci(cleanup: Cleanup, folder: string): Promise<Plugin> {
  const [socket, store] = [join(folder, "soci.sock"), join(folder, "soci-store")];
  await mkdir(store);
  const program = join(await fetchSoci(), "soci-snapshotter-grpc");
  const args = [
    ...["-m", "bash", "-euc", `${privateRoot(store)}; exec "$@"`, "soci", program],
    ...["--address", socket, "--root", join(folder, "soci"), "--config", "/dev/null"],
  ];
  const facts = { name: "soci", socket, keys: "" };
  const plugin = await startPlugin(cleanup, facts, async () => {
    await rm(socket, { force: true });
    return await startService({ program: "unshare", args, logFile: join(folder, "soci.log"), ready: socket });
  });
  // Until it has had a snapshot, Debian's release fails to list those that it has: none.
  const client = createProxySnapshotter({
    address: socket,
    name: "soci",
    context: () => ({ namespace: "tests" }),
  });
  await client.prepare({ key: "first", parent: "", labels: {} });
  await client.remove("first");
  await client.close();
  return plugin;
}

async function startOwn(cleanup: Cleanup, folder: string): Promise<Plugin> {
  const place = join(folder, "own");
  const config = '[snapshotters.plain]\ntype = "overlayfs"\n';
  const facts = { name: "own", socket: join(place, "lazuli.sock"), keys: 'snapshotter = "plain"' };
  return await startPlugin(cleanup, facts, async () => await startSnapshotter({ folder: place, config }));
}

async function startHost(cleanup: Cleanup, folder: string): Promise<Plugin & { containerd: Containerd }> {
  const place = join(folder, "host");
  const socket = join(place, "containerd.sock");
  const keys = `snapshotter = "overlayfs"\nnamespace = "${OUTER_NAMESPACE}"`;
  let containerd: Containerd | undefined;
  const plugin = await startPlugin(cleanup, { name: "host", socket, keys }, async () => {
    containerd = await startContainerd({ folder: place, collectsOnRequest: true });
    return containerd;
  });
  return { ...plugin, containerd: containerd! };
}

/** What a daemon says, as an `Asker` takes it. */
function clientOf(daemon: RunningDaemon): Pick<Containerd, "ctr" | "address"> {
  return {
    address: daemon.address,
    ctr: async (words, options) => await command("ctr", ["--address", daemon.address, ...words], options),
  };
}

t.test(
  "lazuli daemon with plugins says through them what containerd says of its own snapshotter",
  async (t) => {
    await using cleanup = new Cleanup();
    const folder = await mkdtemp(join(tmpdir(), "lazuli-plugins-"));
    cleanup.add(() => rm(folder, { recursive: true, force: true }));
    cleanup.add(() => unmountBelow(folder));
    const host = await startHost(cleanup, folder);
    const plugins = [host, await startOwn(cleanup, folder), await startSoci(cleanup, folder)];
    const tables = plugins.map(
      ({ name, socket, keys }) =>
        `[proxy_plugins.${name}]\ntype = "snapshot"\naddress = "${socket}"\nconnect_timeout = "100ms"\n${keys}\n`,
    );
    const daemon = await startDaemon({
      folder: join(folder, "daemon"),
      config: `[gc]\ndeletion_threshold = 1000000\nmutation_threshold = 1000000\npause_threshold = 0.0000001\n${tables.join("")}`,
    });
    cleanup.add(() => daemon.stop());

    for (const plugin of plugins) {
      await t.test(plugin.name, async (t) => {
        const theirs = new Asker(
          { containerd: host.containerd, folder },
          { name: "theirs", snapshotter: "overlayfs", namespace: `beside-${plugin.name}` },
        );
        const ours = new Asker(
          { containerd: clientOf(daemon), folder },
          { name: "ours", snapshotter: plugin.name, namespace: "tests" },
        );
        // The next time that they collect by themselves is far off then.
        for (const containerd of [host.containerd, clientOf(daemon)])
          await collectOnce(containerd, "default");
        // The daemon does not serve diffs.
        for (const step of allSteps.filter((one) => !("diff" in one))) {
          const [wanted, said] = await Promise.all([ask(theirs, step), ask(ours, step)]);
          t.same(
            comparable(withoutOuterNamespace(said, OUTER_NAMESPACE)),
            comparable(emptyNameIsInvalid(wanted)),
            JSON.stringify(step).slice(0, 120),
          );
        }
      });
    }

    for (const plugin of plugins) {
      await t.test(`${plugin.name}, killed`, async (t) => {
        const snapshots = async (...words: string[]): Promise<CommandResult> =>
          await clientOf(daemon).ctr(["snapshots", "--snapshotter", plugin.name, ...words], { allow: [1] });
        t.equal((await snapshots("prepare", "kept")).code, 0);
        const before = await snapshots("info", "kept");
        await plugin.stop("SIGKILL");
        const refused = await snapshots("prepare", "refused");
        t.match(refused, { code: 1, stderr: /unavailable/ });
        t.ok(refused.stderr.includes(plugin.socket), "says who does not answer");
        await plugin.start();
        t.match(await snapshots("prepare", "after"), { code: 0 }, "the first call finds it again");
        t.same(await snapshots("info", "kept"), before);
        t.match(await snapshots("mounts", "/nowhere", "kept"), { code: 0, stdout: /^mount -t bind / });
        t.match((await snapshots("ls")).stdout, /^after +Active *\nkept +Active *$/m);
        for (const key of ["kept", "after"]) t.equal((await snapshots("rm", key)).code, 0);
      });
    }
  },
);

/** Which of containerd's words a plugin uses is its own affair. */
function comparable(said: Said): Said {
  return withoutIndexOption(ownOptionsLast(withoutWrapping(said)));
}
