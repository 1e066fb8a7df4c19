import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import t from "tap";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { Socket, type SocketCase, socketVerdict } from "./socket-case.js";
import { criCases } from "./socket-cri-cases.js";
import { serviceCases } from "./socket-service-cases.js";

const GROWTH_BYTES_MAX = 256 << 20;
/** Descriptors that come and go by themselves: timers, connections that are being closed. */
const DESCRIPTORS_SLACK = 16;
const only = process.env.LAZULI_CASE;

t.setTimeout(0);

const residentBytes = async (pid: number): Promise<number> =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
const descriptors = async (pid: number): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;

t.test("the daemon ends each hostile request with its code, and serves on", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-socket-"));
  const daemon = await startDaemon({ folder, config: `[cri.cni]\nconf_dir = "${join(folder, "cni")}"` });
  const version = async (): Promise<string> => {
    using connection = grpcOverSocket(daemon.address);
    return (await createClient(Version, connection.transport).version({})).version;
  };
  try {
    await version();
    const open = await descriptors(daemon.pid);
    const sets: Readonly<Record<string, readonly SocketCase[]>> = { services: serviceCases, CRI: criCases };
    const seen = new Map<string, number>();
    for (const [set, cases] of Object.entries(sets)) {
      await t.test(set, async (t) => {
        for (const one of cases) {
          const number = (seen.get(one.group) ?? 0) + 1;
          seen.set(one.group, number);
          const id = `${one.group}-${number}`;
          if (only !== undefined && only !== id) continue;
          const before = await residentBytes(daemon.pid);
          using connection = grpcOverSocket(daemon.address);
          const socket = new Socket(daemon.address, connection.transport);
          const verdict = await socketVerdict(one, socket).catch(String);
          t.equal(verdict, one.wanted, `${id} ${one.name}: ${verdict}`);
          const grown = (await residentBytes(daemon.pid)) - before;
          if (grown > GROWTH_BYTES_MAX) t.fail(`${id} ${one.name} takes ${grown} bytes`);
        }
      });
    }
    t.ok(await version(), "the daemon serves on");
    const left = (await descriptors(daemon.pid)) - open;
    t.ok(left <= DESCRIPTORS_SLACK, `${left} more descriptors are open`);
    if (only !== undefined) return;
    await recordCounts({
      name: "hostile-socket",
      what: "Hostile requests to the daemon's own socket, by group",
      figures: { cases: serviceCases.length + criCases.length, ...Object.fromEntries(seen) },
    });
  } finally {
    await daemon.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
