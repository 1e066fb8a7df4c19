import type { ContainerConfig } from "../../../gen/runtime/v1/api_pb.js";
import { invalidArgument } from "../../errors/index.js";
import { DEFAULT_PATH, type RunConfig } from "../../spec/index.js";

/** The kubelet's command and arguments, or the image's; a command without arguments takes none of the image's. @throws INVALID_ARGUMENT `args-missing` */
export function containerArgs(
  config: Pick<ContainerConfig, "command" | "args">,
  image: RunConfig,
): readonly string[] {
  const { command, args } = config;
  if (command.length > 0) return [...command, ...args];
  // Docker writes [""] for an entrypoint that was taken away.
  const entrypoint = image.entrypoint.length === 1 && image.entrypoint[0] === "" ? [] : image.entrypoint;
  const all = [...entrypoint, ...(args.length > 0 ? args : image.command)];
  if (all.length > 0) return all;
  throw invalidArgument("no command specified", {
    reason: "args-missing",
    hint: "The image names no program: the container must",
  });
}

/** Where a folder would lead out of the container by a descriptor or a root of another process (CVE-2024-21626). */
const leadsOut = /(^|\/)proc\/(self|thread-self|[0-9]+)(\/task\/[0-9]+)?\/(fd|cwd|root|map_files)(\/|$)/;

/** @throws INVALID_ARGUMENT `working-folder-invalid` */
export function workingFolder(config: Pick<ContainerConfig, "workingDir">, image: RunConfig): string {
  const path = config.workingDir || image.workingFolder || "/";
  // The kernel follows links before it takes `..`: it must not be taken away here.
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/") && !path.includes("\0") && !leadsOut.test(parts.join("/"))) return path;
  throw invalidArgument(
    `Cannot use the working folder ${JSON.stringify(path)}: want an absolute path in the container`,
    {
      subject: path,
      reason: "working-folder-invalid",
    },
  );
}

export interface EnvironmentRequest {
  readonly config: Pick<ContainerConfig, "envs" | "tty">;
  readonly image: RunConfig;
  readonly hostname: string;
  /** A base spec's own. */
  readonly base: readonly string[];
}

/** The path, TERM with a terminal, HOSTNAME, the image's, the kubelet's: later ones stand above earlier ones. @throws INVALID_ARGUMENT `env-invalid` */
export function containerEnvironment({
  config,
  image,
  hostname,
  base,
}: EnvironmentRequest): readonly string[] {
  const given = config.envs.map(({ key, value }) => `${key}=${new TextDecoder().decode(value)}`);
  const env = new Map<string, string>();
  for (const entry of [
    ...base,
    DEFAULT_PATH,
    ...(config.tty ? ["TERM=xterm"] : []),
    `HOSTNAME=${hostname}`,
    ...image.env,
    ...given,
  ]) {
    const at = entry.indexOf("=");
    if (at === 0 || entry.includes("\0")) {
      throw invalidArgument(
        `Cannot set ${JSON.stringify(entry.slice(0, 128))} in the environment: want NAME=VALUE`,
        {
          reason: "env-invalid",
        },
      );
    }
    if (at > 0) env.set(entry.slice(0, at), entry);
    // As containerd: a name alone takes the variable away.
    else env.delete(entry);
  }
  return [...env.values()];
}
