import { spawn } from "node:child_process";
import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { createServer } from "node:http2";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import {
  BootstrapParamsSchema,
  BootstrapResultSchema,
} from "../../gen/containerd/runtime/bootstrap/v1/bootstrap_pb.js";
import { Task as TaskOfTwo } from "../../gen/containerd/task/v2/shim_pb.js";
import { DeleteResponseSchema, Task } from "../../gen/containerd/task/v3/shim_pb.js";
import { delay } from "../../src/async/index.js";
import { notFound } from "../../src/errors/index.js";
import { serveTtrpc, ttrpcService } from "../../src/ttrpc/index.js";

/** How it behaves; comes in the environment variable FAKE_SHIM as JSON. */
export interface FakeShim {
  readonly form: "proto" | "json" | "plain";
  readonly protocol: "ttrpc" | "grpc";
  /** What it says, and what it serves. */
  readonly version: 2 | 3;
  readonly serves: 2 | 3;
  /** A command or a method that never ends. */
  readonly hangs?: string;
  /** A method at which it dies. */
  readonly dies?: string;
  readonly needsParams?: boolean;
}

const SERVER_FILE = "fake.pid";

function option(name: string): string {
  return process.argv[process.argv.indexOf(`-${name}`) + 1] ?? "";
}

async function main(mode: FakeShim): Promise<void> {
  const command = process.argv.at(-1) ?? "";
  if (mode.hangs === command) await delay(600_000);
  if (command === "start") start(mode);
  else if (command === "delete") printDeleted();
  else await serve(mode, command);
}

function start(mode: FakeShim): void {
  const id = option("id");
  if (mode.needsParams === true) {
    const params = fromBinary(BootstrapParamsSchema, readFileSync(0));
    if (params.instanceId !== id) throw new Error("bootstrap parameters are missing");
  }
  const socket = join(process.cwd(), "s");
  const args = [fileURLToPath(import.meta.url), socket];
  const child = spawn(process.execPath, args, { detached: true, stdio: "ignore" });
  child.unref();
  writeFileSync(SERVER_FILE, String(child.pid));
  const answer = { version: mode.version, address: `unix://${socket}`, protocol: mode.protocol };
  if (mode.form === "proto") {
    writeSync(1, toBinary(BootstrapResultSchema, create(BootstrapResultSchema, answer)));
  } else writeSync(1, mode.form === "json" ? JSON.stringify(answer) : answer.address);
  process.exit(0);
}

function printDeleted(): void {
  try {
    process.kill(Number(readFileSync(join(option("bundle"), SERVER_FILE), "utf8")), "SIGKILL");
  } catch {
    // It has ended.
  }
  writeSync(1, toBinary(DeleteResponseSchema, create(DeleteResponseSchema, { pid: 42, exitStatus: 137 })));
}

async function serve(mode: FakeShim, socketPath: string): Promise<void> {
  let isCreated = false;
  const at = async <Value>(method: string, value: Value): Promise<Value> => {
    if (mode.hangs === method) await delay(600_000);
    if (mode.dies === method) process.kill(process.pid, "SIGKILL");
    return value;
  };
  const handlers = {
    connect: () => at("connect", { shimPid: process.pid }),
    create: async () => {
      isCreated = true;
      return await at("create", { pid: 42 });
    },
    start: () => at("start", { pid: 42 }),
    state: async () => {
      if (!isCreated) throw notFound("no task");
      return await at("state", { pid: 42, status: 2 });
    },
    pause: () => at("pause", {}),
    kill: () => at("kill", {}),
    wait: () => at("wait", { exitStatus: 3 }),
    stats: () => at("stats", {}),
    delete: () => at("delete", { pid: 42, exitStatus: 3 }),
    shutdown: async () => {
      setTimeout(() => process.exit(0), 20);
      return await at("shutdown", {});
    },
  };
  const service = mode.serves === 3 ? Task : (TaskOfTwo as unknown as typeof Task);
  if (mode.protocol === "ttrpc") {
    await serveTtrpc({ socketPath, mode: 0o600, services: [ttrpcService(service, handlers)] });
    return;
  }
  const adapter = connectNodeAdapter({ routes: (router) => router.service(service, handlers) });
  createServer(adapter).listen(socketPath);
}

await main(JSON.parse(process.env.FAKE_SHIM ?? "{}") as FakeShim);
