import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Client, CallOptions as ConnectCallOptions } from "@connectrpc/connect";
import { Controller } from "../../gen/containerd/services/sandbox/v1/sandbox_pb.js";
import type { SandboxSchema } from "../../gen/containerd/types/sandbox_pb.js";
import { delay } from "../async/index.js";
import { LazuliError } from "../errors/index.js";
import type { SandboxRequest } from "../metadata/index.js";
import { ProxyConnection, type ProxyConnectionOptions } from "../snapshotters/index.js";
import { anyField, anyOf, anyValue } from "./any-values.js";
import type { SandboxController, SandboxExit, SandboxName } from "./sandbox-contract.js";
import { timeOf } from "./times.js";

export interface ProxySandboxesOptions extends Omit<ProxyConnectionOptions, "kind" | "context"> {
  /** The `sandboxer` of every request. */
  readonly name: string;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Pauses before a wait is asked again of a controller that went away double between these. */
const PAUSE_MIN_MS = 128;
const PAUSE_MAX_MS = 4096;

/** A client of someone else's sandbox controller. Its errors have the codes and texts of the other side. */
export function openProxySandboxes(
  options: ProxySandboxesOptions,
): SandboxController & { close(): Promise<void> } {
  return new SocketSandboxes(options);
}

class SocketSandboxes implements SandboxController {
  readonly #options: ProxySandboxesOptions;
  readonly #connection: ProxyConnection;
  readonly #client: Client<typeof Controller>;

  constructor(options: ProxySandboxesOptions) {
    this.#options = options;
    // Each call says whose it is.
    this.#connection = new ProxyConnection({ ...options, kind: "sandboxer", context: () => ({}) });
    this.#client = this.#connection.client(Controller);
  }

  async create(request: Parameters<SandboxController["create"]>[0], options: CallOptions = {}) {
    const { rootfs, netnsPath, annotations, sandbox } = request;
    const message = {
      ...this.#named(request),
      rootfs: rootfs.map((mount) => ({ ...mount, options: [...mount.options] })),
      ...anyField("options", request.options),
      netnsPath,
      annotations: { ...annotations },
      sandbox: sandboxMessage(sandbox),
    };
    await this.#call("create", request, options, async (call) => await this.#client.create(message, call));
  }

  async start(name: SandboxName, options: CallOptions = {}) {
    const message = this.#named(name);
    const started = await this.#call("start", name, options, (call) => this.#client.start(message, call));
    const { pid, createdAt, labels, address, version, spec } = started;
    return { pid, createdAt: timeOf(createdAt) ?? 0n, labels, address, version, spec: anyValue(spec) };
  }

  async platform(name: SandboxName, options: CallOptions = {}) {
    const message = this.#named(name);
    const ask = this.#call("look at", name, options, (call) => this.#client.platform(message, call));
    const { platform } = await ask;
    const { os = "", architecture = "", variant = "" } = platform ?? {};
    return { os, architecture, variant };
  }

  async stop(request: Parameters<SandboxController["stop"]>[0], options: CallOptions = {}) {
    const message = { ...this.#named(request), timeoutSecs: Math.ceil(request.timeoutMs / 1000) };
    await this.#call("stop", request, options, async (call) => await this.#client.stop(message, call));
  }

  /** The other side may be started anew meanwhile. */
  async wait(name: SandboxName, { signal }: CallOptions = {}): Promise<SandboxExit> {
    const message = this.#named(name);
    const options = { signal, timeoutMs: Number.POSITIVE_INFINITY };
    for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
      try {
        const exit = await this.#call("wait for", name, options, (call) => this.#client.wait(message, call));
        return { exitStatus: exit.exitStatus, exitedAt: timeOf(exit.exitedAt) ?? 0n };
      } catch (thrown) {
        if (LazuliError.from(thrown).code !== "UNAVAILABLE") throw thrown;
        await delay(pauseMs, { signal });
      }
    }
  }

  async status(request: Parameters<SandboxController["status"]>[0], options: CallOptions = {}) {
    const message = { ...this.#named(request), verbose: request.isVerbose };
    const status = await this.#call("look at", request, options, (call) =>
      this.#client.status(message, call),
    );
    const { pid, state, info, createdAt, exitedAt, extra, address, version } = status;
    return {
      pid,
      state,
      info,
      createdAt: timeOf(createdAt),
      exitedAt: timeOf(exitedAt),
      extra: anyValue(extra),
      address,
      version,
    };
  }

  async shutdown(name: SandboxName, options: CallOptions = {}) {
    const message = this.#named(name);
    await this.#call("end", name, options, async (call) => await this.#client.shutdown(message, call));
  }

  async metrics(name: SandboxName, options: CallOptions = {}) {
    const message = this.#named(name);
    const ask = this.#call("measure", name, options, (call) => this.#client.metrics(message, call));
    const { metrics } = await ask;
    return { id: name.id, timestamp: timeOf(metrics?.timestamp), data: anyValue(metrics?.data) };
  }

  async update(request: Parameters<SandboxController["update"]>[0], options: CallOptions = {}) {
    const { sandbox, fields } = request;
    const message = { ...this.#named(request), sandbox: sandboxMessage(sandbox), fields: [...fields] };
    await this.#call("update", request, options, async (call) => await this.#client.update(message, call));
  }

  async close(): Promise<void> {
    this.#connection[Symbol.dispose]();
  }

  #named({ id }: SandboxName) {
    return { sandboxId: id, sandboxer: this.#options.name };
  }

  async #call<Answer>(
    verb: string,
    { namespace, id }: SandboxName,
    { signal, timeoutMs }: CallOptions & { readonly timeoutMs?: number },
    ask: (options: ConnectCallOptions) => Promise<Answer>,
  ): Promise<Answer> {
    const call = { action: `${verb} a sandbox`, subject: id, signal, timeoutMs, context: { namespace } };
    return await this.#connection.call(call, ask);
  }
}

function sandboxMessage(sandbox: SandboxRequest): MessageInitShape<typeof SandboxSchema> {
  const { id, runtime, spec, labels, extensions, sandboxer } = sandbox;
  return {
    sandboxId: id,
    runtime: { name: runtime.name, ...anyField("options", runtime.options) },
    ...anyField("spec", spec),
    labels: { ...labels },
    extensions: Object.fromEntries(Object.entries(extensions).map(([key, value]) => [key, anyOf(value)])),
    sandboxer,
  };
}
