import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type Client, connect, type LazyMode, type Platform, parsePlatform } from "../client/index.js";
import { loadConfig } from "../daemon/index.js";
import type { CommandInput, CommandOption } from "./command.js";
import { configOptions } from "./config-command.js";
import { usageError } from "./image-options.js";

const CONTAINERD_ADDRESS = "/run/containerd/containerd.sock";

/** Of every command that asks a server with containerd's API. */
export const clientOptions = {
  address: {
    type: "string",
    value: "PATH",
    meaning:
      "Socket of the server, ours or containerd's. Without it: CONTAINERD_ADDRESS, the socket of `lazuli daemon` where there is one, then containerd's.",
  },
  namespace: {
    type: "string",
    short: "n",
    value: "NAME",
    meaning: "Namespace of the server: CONTAINERD_NAMESPACE or default.",
  },
  config: configOptions.config!,
} as const satisfies Record<string, CommandOption>;

export const snapshotterOption = {
  type: "string",
  value: "NAME",
  meaning:
    "Snapshotter. Without it: the namespace's default, lazuli where the server has it, then overlayfs.",
} as const satisfies CommandOption;

export const platformOption = {
  type: "string",
  value: "OS/ARCH[/VARIANT]",
  meaning: "Platform of the image; that of this machine by default.",
} as const satisfies CommandOption;

export const lazyOption = {
  type: "string",
  value: "auto|always|never",
  meaning:
    "Which layers stay at the registry until they are read: all that the snapshotter can serve so (auto), all or the pull fails (always), none (never).",
} as const satisfies CommandOption;

/** The client that the options mean; whoever asks for it disposes of it. */
export async function openClient({ options, environment }: CommandInput): Promise<Client> {
  const address =
    options.address?.at(-1) ??
    (environment.CONTAINERD_ADDRESS || (await knownAddress(options.config?.at(-1), environment)));
  const namespace = options.namespace?.at(-1) ?? (environment.CONTAINERD_NAMESPACE || "default");
  return connect({ address, namespace });
}

async function knownAddress(
  file: string | undefined,
  environment: CommandInput["environment"],
): Promise<string> {
  const { config } = await loadConfig({ file, environment, flags: {} });
  const own = config.daemon.address;
  return existsSync(own) || !existsSync(CONTAINERD_ADDRESS) ? own : CONTAINERD_ADDRESS;
}

export function oneOption({ options }: CommandInput, name: string): string | undefined {
  return options[name]?.at(-1);
}

export function isSet({ options }: CommandInput, name: string): boolean {
  return options[name] !== undefined;
}

export function readPlatform(input: CommandInput): Platform | undefined {
  const text = oneOption(input, "platform");
  return text === undefined ? undefined : parsePlatform(text);
}

export function readLazy(input: CommandInput): LazyMode {
  const text = oneOption(input, "lazy") ?? "auto";
  if (text === "auto" || text === "always" || text === "never") return text;
  throw usageError(`want --lazy auto|always|never, got ${text}`);
}

/** `64m`, `1.5g`, `1048576` → bytes. */
export function readBytes(text: string, name: string): number {
  const found = /^([0-9]+(?:\.[0-9]+)?)([kmgt]?)i?b?$/i.exec(text);
  const factor = 1024 ** ["", "k", "m", "g", "t"].indexOf((found?.[2] ?? "").toLowerCase());
  const bytes = Math.floor(Number(found?.[1]) * factor);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw usageError(`want bytes for --${name}, e.g. 64m, got ${text}`);
}

/** Where this user's containers write their output. */
export function logFolder({ environment }: CommandInput, client: Client): string {
  const isRoot = process.getuid?.() === 0;
  const data = environment.XDG_DATA_HOME || join(environment.HOME ?? homedir(), ".local", "share");
  const root = environment.LAZULI_LOGS || (isRoot ? "/var/lib/lazuli/logs" : join(data, "lazuli", "logs"));
  return join(root, client.namespace);
}

/** `10 minutes ago`. */
export function ago(nanoseconds: bigint, nowMs: number = Date.now()): string {
  const seconds = Math.max(0, Math.floor((nowMs - Number(nanoseconds / 1_000_000n)) / 1000));
  const units: readonly (readonly [number, string])[] = [
    [86_400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
  ];
  const [size, unit] = units.find(([one]) => seconds >= one) ?? [1, "second"];
  const count = Math.floor(seconds / size);
  return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
}
