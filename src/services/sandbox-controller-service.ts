import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import {
  SandboxCreateSchema,
  SandboxExitSchema,
  SandboxStartSchema,
} from "../../gen/containerd/events/sandbox_pb.js";
import {
  Controller,
  type ControllerCreateRequest,
} from "../../gen/containerd/services/sandbox/v1/sandbox_pb.js";
import { LazuliError } from "../errors/index.js";
import { type EventExchange, packedEvent } from "../events/index.js";
import type { SandboxController, SandboxName } from "../runtime/index.js";
import { requestContext } from "./request-context.js";
import { answer } from "./rpc-error.js";
import { sandboxRequestOf } from "./sandbox-messages.js";
import { timestampOf } from "./snapshot-messages.js";
import { anyField, anyValueOf } from "./workload-messages.js";

export interface SandboxControllerServiceOptions {
  /** By the name that requests have in `sandboxer`; looked at anew for each call. */
  readonly controllers: ReadonlyMap<string, SandboxController>;
  readonly events: EventExchange;
}

/** `containerd.services.sandbox.v1.Controller`. */
export function sandboxControllerService(
  options: SandboxControllerServiceOptions,
): (router: ConnectRouter) => void {
  const calls = new ControllerCalls(options);
  return (router) => {
    router.service(Controller, {
      create: (request, context) => answer(() => calls.create(request, context)),
      start: (request, context) => answer(() => calls.start(request, context)),
      platform: (request, context) =>
        answer(async () => {
          const { signal } = context;
          const platform = await calls.of(request).platform(nameOf(request, context), { signal });
          return { platform: { ...platform } };
        }),
      stop: (request, context) =>
        answer(async () => {
          const timeoutMs = request.timeoutSecs * 1000;
          const { signal } = context;
          await calls.of(request).stop({ ...nameOf(request, context), timeoutMs }, { signal });
          return {};
        }),
      wait: (request, context) => answer(() => calls.wait(request, context)),
      status: (request, context) => answer(() => calls.status(request, context)),
      shutdown: (request, context) =>
        answer(async () => {
          const { signal } = context;
          await calls.of(request).shutdown(nameOf(request, context), { signal });
          return {};
        }),
      metrics: (request, context) =>
        answer(async () => {
          const { signal } = context;
          const metrics = await calls.of(request).metrics(nameOf(request, context), { signal });
          const { id, timestamp, data } = metrics;
          return { metrics: { id, ...timeField("timestamp", timestamp), ...anyField("data", data) } };
        }),
      update: (request, context) =>
        answer(async () => {
          const { sandbox, fields } = request;
          const controller = calls.of(request);
          if (sandbox === undefined) {
            throw new LazuliError("UNKNOWN", "sandbox can not be nil", { reason: "sandbox-missing" });
          }
          const name = nameOf(request, context);
          const { signal } = context;
          const record = sandboxRequestOf(name.namespace, sandbox);
          await controller.update({ ...name, sandbox: record, fields }, { signal });
          return {};
        }),
    });
  };
}

interface Named {
  readonly sandboxId: string;
  readonly sandboxer: string;
}

class ControllerCalls {
  readonly #controllers: ReadonlyMap<string, SandboxController>;
  readonly #events: EventExchange;

  constructor({ controllers, events }: SandboxControllerServiceOptions) {
    this.#controllers = controllers;
    this.#events = events;
  }

  /** @throws INVALID_ARGUMENT; NOT_FOUND */
  of({ sandboxer }: Named): SandboxController {
    // containerd puts the kind of these two before the text, not behind it.
    if (sandboxer === "") {
      const empty = "invalid argument: sandbox controller name can not be empty";
      throw new ConnectError(empty, Code.InvalidArgument);
    }
    const found = this.#controllers.get(sandboxer);
    if (found !== undefined) return found;
    throw new ConnectError(`not found: failed to get sandbox controller by ${sandboxer}`, Code.NotFound);
  }

  async create(request: ControllerCreateRequest, context: HandlerContext) {
    const controller = this.of(request);
    const { sandbox, rootfs, options, netnsPath, annotations } = request;
    const name = nameOf(request, context);
    const record = sandboxRequestOf(name.namespace, sandbox);
    await controller.create(
      {
        ...name,
        // Clients before 2.0 send the id only.
        sandbox: sandbox === undefined ? { ...record, id: name.id, sandboxer: request.sandboxer } : record,
        rootfs,
        options: anyValueOf(options),
        netnsPath,
        annotations,
      },
      { signal: context.signal },
    );
    const event = packedEvent(SandboxCreateSchema, { sandboxId: name.id });
    this.#events.publish({ namespace: name.namespace, topic: "/sandboxes/create", event });
    return { sandboxId: name.id };
  }

  async start(request: Named, context: HandlerContext) {
    const name = nameOf(request, context);
    const { namespace, id } = name;
    const started = await this.of(request).start(name, { signal: context.signal });
    const event = packedEvent(SandboxStartSchema, { sandboxId: id });
    this.#events.publish({ namespace, topic: "/sandboxes/start", event });
    return {
      sandboxId: id,
      pid: started.pid,
      createdAt: timestampOf(started.createdAt),
      labels: { ...started.labels },
      address: started.address,
      version: started.version,
      ...anyField("spec", started.spec),
    };
  }

  async wait(request: Named, context: HandlerContext) {
    const name = nameOf(request, context);
    const exit = await this.of(request).wait(name, { signal: context.signal });
    const exited = { exitStatus: exit.exitStatus, exitedAt: timestampOf(exit.exitedAt) };
    const event = packedEvent(SandboxExitSchema, { sandboxId: name.id, ...exited });
    this.#events.publish({ namespace: name.namespace, topic: "/sandboxes/exit", event });
    return exited;
  }

  async status(request: Named & { readonly verbose: boolean }, context: HandlerContext) {
    const name = nameOf(request, context);
    const { signal } = context;
    const status = await this.of(request).status({ ...name, isVerbose: request.verbose }, { signal });
    const { pid, state, info, createdAt, exitedAt, extra, address, version } = status;
    return {
      sandboxId: name.id,
      pid,
      state,
      info: { ...info },
      ...timeField("createdAt", createdAt),
      ...timeField("exitedAt", exitedAt),
      ...anyField("extra", extra),
      address,
      version,
    };
  }
}

function nameOf({ sandboxId }: Named, { requestHeader }: HandlerContext): SandboxName {
  return { namespace: requestContext(requestHeader).namespace, id: sandboxId };
}

function timeField<Name extends string>(name: Name, at: bigint | undefined) {
  const field: { [Key in Name]?: ReturnType<typeof timestampOf> } = {};
  if (at !== undefined) field[name] = timestampOf(at);
  return field;
}
