import { isIP } from "node:net";
import { invalidArgument } from "../errors/index.js";
import { type Platform, parseReference } from "../oci/index.js";
import {
  type CredentialProvider,
  DockerConfigCredentials,
  defaultDockerConfigPaths,
  Registry,
  systemClock,
} from "../registry/index.js";
import type { Connection } from "./connection.js";
import { findImage, type Image } from "./images.js";
import type { Labels, Waiting } from "./messages.js";
import { chooseSnapshotter, hasTransfer } from "./plugins.js";
import { pullByClient } from "./pull-by-client.js";
import { pullByServer } from "./pull-by-server.js";
import type { OnPullEvent } from "./pull-event.js";
import { machinePlatform } from "./read-image.js";
import type { LazyMode } from "./unpack.js";
import { withLease } from "./with-lease.js";

export interface RegistryAccess {
  /** Asked before Docker's config.json, in order. */
  readonly credentials?: readonly CredentialProvider[] | undefined;
  /** A folder of hosts.toml files (containerd's certs.d). */
  readonly hostsFolder?: string | undefined;
  /** A registry to share between calls; who gives it closes it. Pulls and pushes go through the client then. */
  readonly registry?: Registry | undefined;
}

export interface PullOptions extends RegistryAccess, Waiting {
  /** The machine's by default; `all`: every one of an index, for export and push. */
  readonly platform?: Platform | "all" | undefined;
  /** The namespace's default, else `lazuli` where the server has it, else `overlayfs`. */
  readonly snapshotter?: string | undefined;
  /** False: only the content is fetched. */
  readonly isUnpacked?: boolean | undefined;
  /** `auto` by default. */
  readonly lazy?: LazyMode | undefined;
  /** Who fetches: the server with its Transfer service where it has one (`auto`), or this process in any case. */
  readonly by?: "auto" | "client" | undefined;
  /** Of the image. */
  readonly labels?: Labels | undefined;
  readonly onEvent?: OnPullEvent | undefined;
}

/**
 * Pulls an image by its reference and makes it ready to run.
 * @throws INVALID_ARGUMENT `reference-invalid`, NOT_FOUND, UNAUTHENTICATED, UNAVAILABLE, FAILED_PRECONDITION `layer-not-lazy`
 */
export async function pullImage(
  connection: Connection,
  text: string,
  options: PullOptions = {},
): Promise<Image> {
  const { lazy = "auto", labels = {}, onEvent, signal } = options;
  const reference = parseReference(text).toString();
  const platform = options.platform ?? machinePlatform();
  if (platform === "all" && lazy === "always") {
    throw invalidArgument("Cannot pull all platforms lazily: one of them is what runs", {
      reason: "platform-all-lazy",
    });
  }
  const isUnpacked = options.isUnpacked ?? true;
  const snapshotter = isUnpacked
    ? await chooseSnapshotter(connection, options.snapshotter, { signal })
    : undefined;
  const unpack =
    snapshotter === undefined
      ? undefined
      : { platform: platform === "all" ? machinePlatform() : platform, snapshotter };
  const common = {
    reference,
    platforms: platform === "all" ? ("all" as const) : [platform],
    unpack,
    labels,
    onEvent,
    signal,
  };
  const byServer = options.by !== "client" && options.registry === undefined && lazy === "auto";
  const isServer = byServer && (await hasTransfer(connection, { signal }));
  await withLease(
    connection,
    async (leased) => {
      if (isServer) {
        await pullByServer(leased, {
          ...common,
          hostsFolder: options.hostsFolder,
          isPlainHttp: isLoopback(reference),
          credentials: allCredentials(options),
        });
        return;
      }
      await withRegistry(options, async (registry) => {
        await pullByClient(leased, { ...common, lazy, registry });
      });
    },
    { signal },
  );
  return await findImage(connection, reference, { signal });
}

/** As containerd's clients treat registries on this machine. */
function isLoopback(reference: string): boolean {
  const host = parseReference(reference).registry.replace(/:\d+$/, "");
  return host === "localhost" || (isIP(host) === 4 && host.startsWith("127.")) || host === "[::1]";
}

function allCredentials({ credentials = [] }: RegistryAccess): readonly CredentialProvider[] {
  const docker = defaultDockerConfigPaths().map(
    (path) => new DockerConfigCredentials({ path, clock: systemClock }),
  );
  return [...credentials, ...docker];
}

/** With the registry that was given, or one for this work alone. */
export async function withRegistry<T>(
  { registry, hostsFolder, credentials }: RegistryAccess,
  work: (registry: Registry) => Promise<T>,
): Promise<T> {
  if (registry !== undefined) return await work(registry);
  const own = new Registry({
    hostsDirectories: hostsFolder === undefined ? ["/etc/containerd/certs.d"] : [hostsFolder],
    credentials: credentials ?? [],
  });
  try {
    return await work(own);
  } finally {
    await own.close();
  }
}
