import { existsSync } from "node:fs";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { Node } from "../../gen/lazuli/v1/node_pb.js";
import { type Config, loadConfig } from "../daemon/index.js";
import { type ErrorCode, errorCodes, LazuliError, permissionDenied, unavailable } from "../errors/index.js";
import { grpcOverSocket } from "../grpc/index.js";
import type { CommandInput } from "./command.js";
import { configOptions } from "./config-command.js";

/** Longest wait for an answer of the daemon on this machine. */
const CALL_TIMEOUT_MS = 15_000;

/** Errors below an error that are looked at. */
const CAUSES_MAX = 8;

/** Options of every command that asks the daemon. */
export const nodeOptions = { config: configOptions.config!, address: configOptions.address! } as const;

export interface AskOptions {
  /** Which socket of the config; default: the snapshotter's, or the daemon's where only that is there. */
  readonly addressOf?: (config: Config) => string;
  /** Default: 15 seconds. */
  readonly timeoutMs?: number;
}

/** Asks the running daemon. @throws UNAVAILABLE when there is none; what the call throws */
export async function askNode<T>(
  input: CommandInput,
  ask: (node: Client<typeof Node>, options: { timeoutMs: number }) => Promise<T>,
  options: AskOptions = {},
): Promise<T> {
  return await askService(input, ask, { ...options, service: Node });
}

/** The same of another service on its socket. */
export async function askService<Service extends DescService, T>(
  input: CommandInput,
  ask: (client: Client<Service>, options: { timeoutMs: number }) => Promise<T>,
  options: AskOptions & { readonly service: Service },
): Promise<T> {
  const { addressOf = snapshotterAddress, timeoutMs = CALL_TIMEOUT_MS } = options;
  const { config } = await loadConfig({
    file: input.options.config?.at(-1),
    environment: input.environment,
    flags: input.options,
  });
  const address = addressOf(config);
  using connection = grpcOverSocket(address);
  try {
    return await ask(createClient(options.service, connection.transport), { timeoutMs });
  } catch (thrown) {
    throw translated(ConnectError.from(thrown), address);
  }
}

function snapshotterAddress({ snapshotter, daemon }: Config): string {
  const isDaemonAlone = !existsSync(snapshotter.address) && existsSync(daemon.address);
  return isDaemonAlone ? daemon.address : snapshotter.address;
}

/** What connect(2) says when nobody listens on a Unix socket. */
const absentCodes = ["ENOENT", "ECONNREFUSED", "ENOTSOCK", "ENOTDIR"];

function translated(error: ConnectError, address: string): LazuliError {
  const system = systemCodeOf(error);
  if (system === "EACCES" || system === "EPERM") {
    return permissionDenied(`Cannot reach the daemon at ${address}: permission denied`, {
      subject: address,
      reason: "daemon-forbidden",
      hint: "Run the command as root",
      cause: error,
    });
  }
  if (error.code === Code.Unavailable || absentCodes.includes(system)) {
    return unavailable(`Cannot reach the daemon at ${address}: ${error.rawMessage}`, {
      subject: address,
      reason: "daemon-unreachable",
      hint: "Start it with `systemctl start lazuli-snapshotter` or lazuli-daemon, or name its socket with --address; `lazuli doctor` looks further",
      cause: error,
    });
  }
  const named = Object.entries(errorCodes).find(([, facts]) => facts.grpc === error.code);
  return new LazuliError((named?.[0] as ErrorCode | undefined) ?? "UNKNOWN", error.rawMessage, {
    cause: error,
  });
}

/** The code of the failed system call below an error; "" where there is none. */
function systemCodeOf(error: Error): string {
  let cause: unknown = error;
  for (let depth = 0; cause instanceof Error && depth < CAUSES_MAX; depth += 1) {
    const { code } = cause as NodeJS.ErrnoException;
    if (typeof code === "string") return code;
    cause = cause.cause;
  }
  return "";
}
