import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { type GrpcServer, serveGrpc, snapshotsService } from "../services/index.js";
import type { Snapshotter } from "../snapshotters/index.js";
import { healthService } from "./health-service.js";

export interface ServeSnapshotterOptions {
  /** Path of the Unix socket that stands as `address` in containerd's `[proxy_plugins.<name>]`. Its folder is made. */
  readonly socket: string;
  /** Who may connect. Default: its owner only. */
  readonly mode?: 0o600 | 0o660;
  /** Ends the server when it aborts, as `close` does. */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait on closing for calls that are being answered. Default: 10 s. */
  readonly closeTimeoutMs?: number;
}

/**
 * Serves a snapshotter to containerd on a Unix socket (`containerd.services.snapshots.v1`), with gRPC's health service
 * beside it. What the snapshotter throws goes over the wire with its code, as containerd's own errors do. A socket that
 * an ended process left is replaced. Closing the server does not close the snapshotter.
 * @throws FAILED_PRECONDITION when somebody serves there already, or another file lies there
 */
export async function serveSnapshotter(
  snapshotter: Snapshotter,
  options: ServeSnapshotterOptions,
): Promise<GrpcServer> {
  const { socket, mode = 0o600, signal, closeTimeoutMs } = options;
  await mkdir(dirname(socket), { recursive: true });
  return await serveGrpc({
    socketPath: socket,
    mode,
    routes: [snapshotsService(snapshotter), healthService()],
    signal,
    ...(closeTimeoutMs === undefined ? {} : { closeTimeoutMs }),
  });
}
