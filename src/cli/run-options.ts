import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import {
  hostDevices,
  ownCapabilities,
  type SpecOption,
  withAddedCapabilities,
  withArgs,
  withCgroup,
  withCpus,
  withDroppedCapabilities,
  withEnv,
  withHostNetwork,
  withHostname,
  withMemoryLimit,
  withMounts,
  withPidsLimit,
  withPrivileged,
  withReadonlyRootfs,
  withSeccomp,
  withTty,
  withUser,
  withWorkingFolder,
} from "../client/index.js";
import { invalidArgument } from "../errors/index.js";
import { isSet, oneOption, readBytes } from "./client-options.js";
import type { CommandInput, CommandOption } from "./command.js";
import { usageError } from "./image-options.js";

/** What `lazuli run` says of the container's process and its limits, in Docker's words. */
export const processOptions = {
  env: {
    type: "string",
    short: "e",
    value: "NAME[=VALUE]",
    multiple: true,
    meaning: "Set a variable; without a value, to what it is here.",
  },
  "env-file": {
    type: "string",
    value: "FILE",
    multiple: true,
    meaning: "Variables, one a line; # begins a comment.",
  },
  volume: {
    type: "string",
    short: "v",
    value: "HOST:CONTAINER[:ro]",
    multiple: true,
    meaning: "Show a file or folder of this machine in the container. Named volumes are not known.",
  },
  workdir: { type: "string", short: "w", value: "PATH", meaning: "Folder in which the process starts." },
  user: { type: "string", short: "u", value: "USER[:GROUP]", meaning: "Names of the image, or numbers." },
  entrypoint: {
    type: "string",
    value: "PROGRAM",
    meaning: "In place of the image's entrypoint and command.",
  },
  hostname: { type: "string", value: "NAME", meaning: "Host name in the container." },
  network: {
    type: "string",
    value: "none|host",
    meaning: "A network namespace with nothing but loopback (none), or this machine's network (host).",
  },
  publish: {
    type: "string",
    short: "p",
    value: "PORT",
    multiple: true,
    meaning: "Refused: ports need a CNI network, which `lazuli run` doesn't set up. Use --network host.",
  },
  memory: { type: "string", short: "m", value: "BYTES", meaning: "Limit of memory: 64m, 1g." },
  cpus: { type: "string", value: "N", meaning: "Limit of processor time: 0.5 is half of one." },
  "pids-limit": { type: "string", value: "N", meaning: "Limit of processes and threads." },
  "read-only": { type: "boolean", meaning: "The image's file system can't be written." },
  privileged: {
    type: "boolean",
    meaning: "All capabilities and devices, nothing masked: as good as root on this machine.",
  },
  "cap-add": { type: "string", value: "NAME", multiple: true, meaning: "Give a capability: NET_ADMIN." },
  "cap-drop": { type: "string", value: "NAME", multiple: true, meaning: "Take a capability away, or ALL." },
  seccomp: {
    type: "string",
    value: "default|none",
    meaning: "containerd's filter of system calls, or none.",
  },
  cgroup: { type: "string", value: "PATH", meaning: "Cgroup in place of /NAMESPACE/NAME." },
} as const satisfies Record<string, CommandOption>;

const ENV_FILE_BYTES_MAX = 1024 * 1024;

/** In the order in which they must apply. @throws INVALID_ARGUMENT */
export async function readSpecOptions(
  input: CommandInput,
  args: readonly string[],
): Promise<readonly SpecOption[]> {
  if (isSet(input, "publish")) {
    throw invalidArgument("Cannot publish ports: `lazuli run` sets up no CNI network", {
      reason: "ports-unsupported",
      hint: "Use --network host, where the container's ports are the machine's",
    });
  }
  const entrypoint = oneOption(input, "entrypoint");
  const workdir = oneOption(input, "workdir");
  const user = oneOption(input, "user");
  return [
    ...(entrypoint === undefined ? [] : [withArgs([entrypoint, ...args])]),
    withEnv([...(await readEnvFiles(input)), ...readEnv(input)]),
    ...(workdir === undefined ? [] : [withWorkingFolder(workdir)]),
    ...(user === undefined ? [] : [withUser(user)]),
    withMounts((input.options.volume ?? []).map(readVolume)),
    ...readNetwork(input),
    ...readLimits(input),
    ...(isSet(input, "read-only") ? [withReadonlyRootfs()] : []),
    ...(isSet(input, "tty") ? [withTty()] : []),
    ...(await readPrivileges(input)),
  ];
}

function readEnv({ options, environment }: CommandInput): readonly string[] {
  return (options.env ?? []).map((entry) => {
    if (entry.includes("=")) return entry;
    const value = environment[entry];
    return value === undefined ? entry : `${entry}=${value}`;
  });
}

async function readEnvFiles({ options }: CommandInput): Promise<readonly string[]> {
  const entries: string[] = [];
  for (const path of options["env-file"] ?? []) {
    const text = await readFile(path, "utf8");
    if (text.length > ENV_FILE_BYTES_MAX)
      throw usageError(`want at most ${ENV_FILE_BYTES_MAX} bytes in ${path}`);
    entries.push(...text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#")));
  }
  return entries;
}

function readVolume(text: string) {
  const [source, destination, mode = "rw", ...more] = text.split(":");
  const isKnown = mode === "rw" || mode === "ro";
  if (!source || !destination?.startsWith("/") || !isKnown || more.length > 0 || !/^[./]/.test(source)) {
    throw usageError(`want --volume /HOST:/CONTAINER[:ro], got ${text}`);
  }
  return { destination, type: "bind", source: resolve(source), options: ["rbind", "rprivate", mode] };
}

function readNetwork(input: CommandInput): readonly SpecOption[] {
  const own = oneOption(input, "hostname");
  const name = own === undefined ? [] : [withHostname(own)];
  const network = oneOption(input, "network") ?? "none";
  if (network === "none") return name;
  if (network === "host")
    return [withHostNetwork(), ...(own === undefined ? [withHostname(hostname())] : name)];
  throw usageError(
    `want --network none|host, got ${network}: other networks need CNI, which lazuli run doesn't set up`,
  );
}

function readLimits(input: CommandInput): readonly SpecOption[] {
  const memory = oneOption(input, "memory");
  const cpus = oneOption(input, "cpus");
  const pids = oneOption(input, "pids-limit");
  const cgroup = oneOption(input, "cgroup");
  return [
    ...(memory === undefined ? [] : [withMemoryLimit(readBytes(memory, "memory"))]),
    ...(cpus === undefined ? [] : [withCpus(Number(cpus))]),
    ...(pids === undefined ? [] : [withPidsLimit(Number(pids))]),
    ...(cgroup === undefined ? [] : [withCgroup(cgroup)]),
  ];
}

/** Capabilities before the filter, which depends on them. */
async function readPrivileges(input: CommandInput): Promise<readonly SpecOption[]> {
  if (isSet(input, "privileged")) {
    return [withPrivileged({ capabilities: await ownCapabilities(), devices: await hostDevices() })];
  }
  const dropped = input.options["cap-drop"] ?? [];
  const isAll = dropped.some((name) => name.toUpperCase() === "ALL");
  const filter = oneOption(input, "seccomp") ?? "default";
  if (filter !== "default" && filter !== "none")
    throw usageError(`want --seccomp default|none, got ${filter}`);
  return [
    withDroppedCapabilities(isAll ? await ownCapabilities() : dropped),
    withAddedCapabilities(input.options["cap-add"] ?? []),
    ...(filter === "none" ? [] : [withSeccomp()]),
  ];
}
