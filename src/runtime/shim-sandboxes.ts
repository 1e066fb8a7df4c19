import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Sandbox } from "../../gen/containerd/runtime/sandbox/v1/sandbox_pb.js";
import { alreadyExists, LazuliError, notFound } from "../errors/index.js";
import { log } from "../observe/index.js";
import { anyField, anyValue } from "./any-values.js";
import { bundleOf, bundlesFolder, createBundle, deleteBundle } from "./bundle.js";
import type {
  CreateSandbox,
  SandboxController,
  SandboxExit,
  SandboxName,
  SandboxStatus,
  StartedSandbox,
} from "./sandbox-contract.js";
import { deleteDead, loadShim, type Shim, type ShimSettings, startShim } from "./shim.js";
import { shimProgram } from "./shim-program.js";
import { defaultTimeouts, type RuntimeTimeouts } from "./timeouts.js";
import { timeOf } from "./times.js";

export interface ShimSandboxesOptions extends Omit<ShimSettings, "timeouts"> {
  readonly timeouts?: Partial<RuntimeTimeouts>;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface ShimSandboxes extends SandboxController {
  /** Leaves the shims and what runs in them alone. */
  close(): Promise<void>;
}

/**
 * The controller `shim`: a sandbox is what a shim makes of it that serves `containerd.runtime.sandbox.v1`. Its folders
 * are its own: the bundles of tasks lie elsewhere. Sandboxes of before are found again. The messages are containerd's
 * (plugins/sandbox/controller.go).
 */
export async function openShimSandboxes(options: ShimSandboxesOptions): Promise<ShimSandboxes> {
  const settings = { ...options, timeouts: { ...defaultTimeouts, ...options.timeouts } };
  const sandboxes = new SandboxesOfShims(settings);
  await sandboxes.restore();
  return sandboxes;
}

class SandboxesOfShims implements ShimSandboxes {
  readonly #settings: ShimSettings & { readonly now: () => bigint };
  readonly #shims = new Map<string, Shim>();
  readonly #creating = new Set<string>();
  #isClosed = false;

  constructor(settings: ShimSettings & { readonly now: () => bigint }) {
    this.#settings = settings;
  }

  async restore(): Promise<void> {
    const top = bundlesFolder(this.#settings.folders.state);
    for (const namespace of await namesIn(top)) {
      for (const id of await namesIn(join(top, namespace))) {
        const bundle = bundleOf(this.#settings.folders, { namespace, id });
        try {
          this.#hold(await loadShim(this.#settings, bundle));
        } catch (thrown) {
          const error = LazuliError.from(thrown).message;
          log.warn("Cannot find a sandbox again; cleaning up after it", { namespace, id, error });
          await deleteBundle(bundle, this.#settings.binding);
        }
      }
    }
  }

  async create(request: CreateSandbox, { signal }: CallOptions = {}): Promise<void> {
    const { id, sandbox } = request;
    const key = keyOf(request);
    if (this.#shims.has(key) || this.#creating.has(key)) {
      throw alreadyExists(`sandbox ${id} already running`, { subject: id, reason: "sandbox-exists" });
    }
    this.#creating.add(key);
    try {
      const { namespace } = request;
      const { runtime, spec } = sandbox;
      const { daemonProgram, folders } = this.#settings;
      const bundle = await createBundle(folders, { namespace, id, spec });
      const shim = await within(`failed to start new shim for sandbox ${id}`, async () => {
        let program: string | undefined;
        try {
          program = await shimProgram({ runtime: runtime.name, daemonProgram });
          return await startShim(this.#settings, { bundle, program, options: runtime.options }, { signal });
        } catch (thrown) {
          await deleteDead(this.#settings, { bundle, program });
          throw thrown;
        }
      });
      this.#hold(shim);
    } finally {
      this.#creating.delete(key);
    }
    await this.#createIn(request, { signal });
  }

  async #createIn(request: CreateSandbox, { signal }: CallOptions): Promise<void> {
    const { id, rootfs, options, netnsPath, annotations } = request;
    const shim = this.#get(request);
    const message = {
      sandboxId: id,
      bundlePath: shim.bundle.path,
      rootfs: rootfs.map((mount) => ({ ...mount, options: [...mount.options] })),
      ...anyField("options", options),
      netnsPath,
      annotations: { ...annotations },
    };
    await within(`failed to create sandbox ${id}`, async () => {
      try {
        await this.#call(request, Sandbox.method.createSandbox, message, { signal });
      } catch (thrown) {
        await this.#end(request);
        throw thrown;
      }
    });
  }

  async start(name: SandboxName, { signal }: CallOptions = {}): Promise<StartedSandbox> {
    const { id } = name;
    const shim = this.#shims.get(keyOf(name));
    if (shim === undefined) {
      throw new LazuliError("UNKNOWN", `unable to find sandbox ${JSON.stringify(id)}`, {
        subject: id,
        reason: "sandbox-missing",
      });
    }
    const started = await within(`failed to start sandbox ${id}`, async () => {
      try {
        return await this.#call(name, Sandbox.method.startSandbox, { sandboxId: id }, { signal });
      } catch (thrown) {
        await this.#end(name);
        throw thrown;
      }
    });
    return {
      pid: started.pid,
      createdAt: timeOf(started.createdAt) ?? this.#settings.now(),
      labels: {},
      ...endpointOf(shim),
      spec: anyValue(started.spec),
    };
  }

  async platform(name: SandboxName, { signal }: CallOptions = {}) {
    const { platform } = await within("failed to get sandbox platform", () =>
      this.#call(name, Sandbox.method.platform, { sandboxId: name.id }, { signal }),
    );
    const { os = "", architecture = "", variant = "" } = platform ?? {};
    return { os, architecture, variant };
  }

  async stop(
    { timeoutMs, ...name }: SandboxName & { readonly timeoutMs: number },
    { signal }: CallOptions = {},
  ): Promise<void> {
    if (!this.#shims.has(keyOf(name))) return;
    const timeoutSecs = Math.floor(timeoutMs / 1000);
    try {
      const message = { sandboxId: name.id, timeoutSecs };
      await this.#call(name, Sandbox.method.stopSandbox, message, { signal });
    } catch (thrown) {
      const { code } = LazuliError.from(thrown);
      if (code === "NOT_FOUND" || code === "UNAVAILABLE") return;
      throw told("failed to stop sandbox", thrown);
    }
  }

  async wait(name: SandboxName, { signal }: CallOptions = {}): Promise<SandboxExit> {
    const shim = this.#get(name);
    const { exitStatus, exitedAt } = await within(`failed to wait sandbox ${name.id}`, () =>
      shim.connection.call(
        Sandbox.method.waitSandbox,
        { sandboxId: name.id },
        { timeoutMs: undefined, signal },
      ),
    );
    return { exitStatus, exitedAt: timeOf(exitedAt) ?? this.#settings.now() };
  }

  async status(
    { isVerbose, ...name }: SandboxName & { readonly isVerbose: boolean },
    { signal }: CallOptions = {},
  ): Promise<SandboxStatus> {
    const shim = this.#shims.get(keyOf(name));
    if (shim === undefined) return { ...nothing, exitedAt: this.#settings.now() };
    const status = await within(`failed to query sandbox ${name.id} status`, () =>
      this.#call(name, Sandbox.method.sandboxStatus, { sandboxId: name.id, verbose: isVerbose }, { signal }),
    );
    return {
      pid: status.pid,
      state: status.state,
      info: status.info,
      createdAt: timeOf(status.createdAt),
      exitedAt: timeOf(status.exitedAt),
      extra: anyValue(status.extra),
      ...endpointOf(shim),
    };
  }

  async shutdown(name: SandboxName, { signal }: CallOptions = {}): Promise<void> {
    await within("failed to shutdown sandbox", () =>
      this.#call(name, Sandbox.method.shutdownSandbox, { sandboxId: name.id }, { signal }),
    );
    await within("failed to delete sandbox shim", () => this.#forget(name));
  }

  async metrics(name: SandboxName, { signal }: CallOptions = {}) {
    const message = { sandboxId: name.id };
    const { metrics } = await this.#call(name, Sandbox.method.sandboxMetrics, message, { signal });
    const { id = name.id, timestamp, data } = metrics ?? {};
    return { id, timestamp: timeOf(timestamp), data: anyValue(data) };
  }

  /** Shims have no call for it, and containerd does nothing either. */
  async update(): Promise<void> {}

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const shim of this.#shims.values()) shim.close();
    this.#shims.clear();
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    name: SandboxName,
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    { signal }: CallOptions,
  ): Promise<MessageShape<O>> {
    const timeoutMs = this.#settings.timeouts.callMs;
    return await this.#get(name).connection.call(method, message, { timeoutMs, signal });
  }

  #get(name: SandboxName): Shim {
    const shim = this.#shims.get(keyOf(name));
    if (shim !== undefined) return shim;
    throw notFound(`shim ${name.id}`, { subject: name.id, reason: "sandbox-missing" });
  }

  #hold(shim: Shim): void {
    const key = keyOf(shim.bundle);
    this.#shims.set(key, shim);
    void shim.connection.closed.then(async () => {
      if (this.#isClosed || this.#shims.get(key) !== shim) return;
      this.#shims.delete(key);
      shim.close();
      const { namespace, id } = shim.bundle;
      log.warn("The shim of a sandbox ended; cleaning up after it", { namespace, id });
      await deleteDead(this.#settings, shim).catch((thrown: unknown) => {
        log.error("Cannot delete a bundle", { id, error: LazuliError.from(thrown).message });
      });
    });
  }

  /** After a failure: the sandbox goes, and with it the shim, as far as they let themselves be ended. */
  async #end(name: SandboxName): Promise<void> {
    const shim = this.#shims.get(keyOf(name));
    if (shim === undefined) return;
    const timeoutMs = this.#settings.timeouts.cleanupMs;
    try {
      const message = { sandboxId: name.id };
      await shim.connection.call(Sandbox.method.shutdownSandbox, message, { timeoutMs });
      await this.#forget(name);
    } catch (thrown) {
      log.warn("Cannot shut a sandbox down", { id: name.id, error: LazuliError.from(thrown).message });
      this.#shims.delete(keyOf(name));
      // A shim that does not serve sandboxes serves tasks, and ends by this.
      await shim.tasks.call("shutdown", { id: name.id, now: true }, { timeoutMs }).catch(() => undefined);
      shim.close();
      await deleteDead(this.#settings, shim);
    }
  }

  async #forget(name: SandboxName): Promise<void> {
    const shim = this.#shims.get(keyOf(name));
    if (shim === undefined) return;
    this.#shims.delete(keyOf(name));
    shim.close();
    await deleteBundle(shim.bundle, this.#settings.binding);
  }
}

/** What there is to say of a sandbox that nobody knows. */
const nothing = {
  pid: 0,
  state: "",
  info: {},
  createdAt: undefined,
  extra: undefined,
  address: "",
  version: 0,
} as const;

function endpointOf({ address }: Shim): { readonly address: string; readonly version: number } {
  return { address: `${address.protocol}+${address.address}`, version: address.version };
}

function keyOf({ namespace, id }: SandboxName): string {
  return `${namespace}/${id}`;
}

async function within<Result>(context: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (thrown) {
    throw told(context, thrown);
  }
}

function told(context: string, thrown: unknown): LazuliError {
  const { code, message, reason = "sandbox-failed" } = LazuliError.from(thrown);
  return new LazuliError(code, `${context}: ${message}`, { reason, cause: thrown });
}

async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === "ENOENT" || thrown.code === "ENOTDIR") return [];
    throw thrown;
  });
}
