import type { Client } from "@connectrpc/connect";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.js";
import { invalidArgument, LazuliError, unavailable } from "../errors/index.js";
import type { CreateSnapshot, Mount, SnapshotInfo, Snapshotter } from "./contract.js";
import { ProxyConnection, type ProxyContext } from "./proxy-connection.js";
import { countFrom, mountsFrom, snapshotInfoFrom } from "./proxy-messages.js";

export interface ProxySnapshotterOptions {
  /** Path of the Unix socket that serves `containerd.services.snapshots.v1`. */
  readonly address: string;
  /** The snapshotter's name in every request, e.g. `overlayfs` of a containerd; most plugins take any. */
  readonly name: string;
  /** Whose call it is, asked at each call: the headers for namespace and lease. Default: none are sent. */
  readonly context?: (() => ProxyContext) | undefined;
  /** Labels that every snapshot gets there beside its own. They are not shown. */
  readonly addedLabels?: Readonly<Record<string, string>> | undefined;
  /** Longest wait for a socket that takes no connection, e.g. while its server starts anew. */
  readonly connectTimeoutMs?: number | undefined;
  /** Longest wait for an answer. */
  readonly callTimeoutMs?: number | undefined;
}

export interface ProxySnapshotter extends Snapshotter {
  /**
   * Asks whether it serves: gRPC's health service where there is one, and the snapshotter itself for a snapshot that
   * does not exist. @throws UNAVAILABLE, DEADLINE_EXCEEDED; INVALID_ARGUMENT when it does not know its name
   */
  checkHealth(options?: { signal?: AbortSignal | undefined }): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 5000;
/** A layer may be copied or brought from afar in one call, so this is only the end of what hangs. */
const CALL_TIMEOUT_MS = 300_000;
const HEALTH_TIMEOUT_MS = 5000;
const NO_SNAPSHOT = "lazuli-health-check";

/** A client of someone else's snapshotter. Its errors have the codes and texts of the other side. */
export function createProxySnapshotter(options: ProxySnapshotterOptions): ProxySnapshotter {
  if (options.name === "") {
    throw invalidArgument("Cannot open a snapshotter: want a name, got none", { reason: "name-missing" });
  }
  return new SocketSnapshotter(options);
}

class SocketSnapshotter implements ProxySnapshotter {
  readonly #connection: ProxyConnection;
  readonly #snapshots: Client<typeof Snapshots>;
  readonly #snapshotter: string;
  readonly #addedLabels: Readonly<Record<string, string>>;

  constructor(options: ProxySnapshotterOptions) {
    const { address, name, context = () => ({}), addedLabels = {} } = options;
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS, callTimeoutMs = CALL_TIMEOUT_MS } = options;
    this.#connection = new ProxyConnection({
      kind: "snapshotter",
      address,
      context,
      connectTimeoutMs,
      callTimeoutMs,
    });
    this.#snapshots = this.#connection.client(Snapshots);
    this.#snapshotter = name;
    this.#addedLabels = addedLabels;
  }

  async stat(key: string): Promise<SnapshotInfo> {
    const call = { action: "look up a snapshot", subject: key, changesNothing: true };
    return await this.#connection.call(call, async (options) =>
      this.#infoFrom((await this.#snapshots.stat({ snapshotter: this.#snapshotter, key }, options)).info),
    );
  }

  async update(request: Parameters<Snapshotter["update"]>[0]): Promise<SnapshotInfo> {
    const { name, fieldPaths } = request;
    const message = {
      snapshotter: this.#snapshotter,
      info: { name, labels: this.#labels(request.labels) },
      ...(fieldPaths.length === 0 ? {} : { updateMask: { paths: [...fieldPaths] } }),
    };
    const call = { action: "update a snapshot", subject: name };
    return await this.#connection.call(call, async (options) =>
      this.#infoFrom((await this.#snapshots.update(message, options)).info),
    );
  }

  async usage(key: string, { signal }: { signal?: AbortSignal | undefined } = {}) {
    const call = { action: "measure a snapshot", subject: key, changesNothing: true, signal };
    return await this.#connection.call(call, async (options) => {
      const { size, inodes } = await this.#snapshots.usage({ snapshotter: this.#snapshotter, key }, options);
      return { size: countFrom(size), inodes: countFrom(inodes) };
    });
  }

  async mounts(key: string, { signal }: { signal?: AbortSignal | undefined } = {}) {
    const call = { action: "ask for the mounts of a snapshot", subject: key, changesNothing: true, signal };
    return await this.#connection.call(call, async (options) =>
      mountsFrom((await this.#snapshots.mounts({ snapshotter: this.#snapshotter, key }, options)).mounts),
    );
  }

  async prepare(request: CreateSnapshot): Promise<readonly Mount[]> {
    return await this.#create("prepare", request);
  }

  async view(request: CreateSnapshot): Promise<readonly Mount[]> {
    return await this.#create("view", request);
  }

  async commit(request: Parameters<Snapshotter["commit"]>[0]): Promise<void> {
    const { name, key, parent, signal } = request;
    const labels = this.#labels(request.labels);
    const message = { snapshotter: this.#snapshotter, name, key, parent, labels };
    await this.#connection.call({ action: "commit a snapshot", subject: key, signal }, async (options) => {
      await this.#snapshots.commit(message, options);
    });
  }

  async remove(key: string): Promise<void> {
    await this.#connection.call({ action: "remove a snapshot", subject: key }, async (options) => {
      await this.#snapshots.remove({ snapshotter: this.#snapshotter, key }, options);
    });
  }

  async *walk(filters: readonly string[]): AsyncIterable<SnapshotInfo> {
    const connection = this.#connection;
    const call = { action: "list snapshots" };
    await connection.connected(call);
    // A caller that stops early must not leave the other side sending.
    const ending = new AbortController();
    try {
      const message = { snapshotter: this.#snapshotter, filters: [...filters] };
      const batches = this.#snapshots.list(message, connection.callOptions(ending.signal));
      for await (const { info } of batches) for (const one of info) yield this.#infoFrom(one);
    } catch (thrown) {
      throw connection.error(thrown, call);
    } finally {
      ending.abort();
    }
  }

  async cleanup(): Promise<void> {
    try {
      await this.#connection.call({ action: "clean up" }, async (options) => {
        await this.#snapshots.cleanup({ snapshotter: this.#snapshotter }, options);
      });
    } catch (thrown) {
      // Not every snapshotter has something to clean up.
      if (!hasCode(thrown, "UNIMPLEMENTED")) throw thrown;
    }
  }

  /** Ends the connection. The other side goes on. */
  async close(): Promise<void> {
    this.#connection[Symbol.dispose]();
  }

  async checkHealth({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const call = {
      action: "check a snapshotter",
      changesNothing: true,
      timeoutMs: HEALTH_TIMEOUT_MS,
      signal,
    };
    const status = await this.#connection
      .call(call, async (options) => (await this.#connection.client(Health).check({}, options)).status)
      .catch((thrown: unknown) => {
        // Few plugins serve it.
        if (hasCode(thrown, "UNIMPLEMENTED")) return ServingStatus.SERVING;
        throw thrown;
      });
    if (status !== ServingStatus.SERVING) {
      throw unavailable(
        `Cannot use the snapshotter at ${this.#connection.address}: it says it does not serve`,
        {
          subject: this.#connection.address,
          reason: "snapshotter-not-serving",
          hint: "Look at the log of the snapshotter behind that socket",
        },
      );
    }
    const message = { snapshotter: this.#snapshotter, key: NO_SNAPSHOT };
    try {
      await this.#connection.call(call, (options) => this.#snapshots.stat(message, options));
    } catch (thrown) {
      // Some plugins have no code for what they don't find.
      if (!hasCode(thrown, "NOT_FOUND") && !hasCode(thrown, "UNKNOWN")) throw thrown;
    }
  }

  async #create(method: "prepare" | "view", request: CreateSnapshot): Promise<readonly Mount[]> {
    const { key, parent, signal } = request;
    const message = { snapshotter: this.#snapshotter, key, parent, labels: this.#labels(request.labels) };
    const call = { action: `${method} a snapshot`, subject: key, signal };
    return await this.#connection.call(call, async (options) => {
      const answer = await (method === "view"
        ? this.#snapshots.view(message, options)
        : this.#snapshots.prepare(message, options));
      return mountsFrom(answer.mounts);
    });
  }

  #labels(labels: Readonly<Record<string, string>>): Record<string, string> {
    return { ...labels, ...this.#addedLabels };
  }

  #infoFrom(message: Parameters<typeof snapshotInfoFrom>[0]): SnapshotInfo {
    const info = snapshotInfoFrom(message);
    const own = Object.entries(info.labels).filter(([key]) => !Object.hasOwn(this.#addedLabels, key));
    return { ...info, labels: Object.fromEntries(own) };
  }
}

function hasCode(thrown: unknown, code: LazuliError["code"]): boolean {
  return thrown instanceof LazuliError && thrown.code === code;
}
