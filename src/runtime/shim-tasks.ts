import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Task as TaskOfTwo } from "../../gen/containerd/task/v2/shim_pb.js";
import { Task } from "../../gen/containerd/task/v3/shim_pb.js";
import { LazuliError } from "../errors/index.js";
import type { ShimCallOptions, ShimConnection } from "./shim-connection.js";

type Methods = (typeof Task)["method"];
export type TaskMethod = keyof Methods;
export type TaskRequest<Name extends TaskMethod> =
  Methods[Name] extends DescMethodUnary<infer I, DescMessage> ? MessageInitShape<I> : never;
export type TaskAnswer<Name extends TaskMethod> =
  Methods[Name] extends DescMethodUnary<DescMessage, infer O> ? MessageShape<O> : never;

/** The task API of a shim: version 3, or 2 where the shim does not know it; the messages are the same. */
export class ShimTasks {
  readonly #connection: ShimConnection;
  #version: 2 | 3;
  #isKnown = false;

  constructor(connection: ShimConnection, version: 2 | 3) {
    this.#connection = connection;
    this.#version = version;
  }

  get version(): 2 | 3 {
    return this.#version;
  }

  /** @throws as ShimConnection.call */
  async call<Name extends TaskMethod>(
    name: Name,
    request: TaskRequest<Name>,
    options: ShimCallOptions,
  ): Promise<TaskAnswer<Name>> {
    try {
      const answer = await this.#callOnce(name, request, options);
      this.#isKnown = true;
      return answer;
    } catch (thrown) {
      const isRefused = thrown instanceof LazuliError && thrown.code === "UNIMPLEMENTED";
      if (!isRefused || this.#isKnown || this.#version === 2) throw thrown;
      this.#version = 2;
      return await this.#callOnce(name, request, options);
    }
  }

  async #callOnce<Name extends TaskMethod>(
    name: Name,
    request: TaskRequest<Name>,
    options: ShimCallOptions,
  ): Promise<TaskAnswer<Name>> {
    const service = this.#version === 3 ? Task : TaskOfTwo;
    const method = service.method[name] as DescMethodUnary;
    return (await this.#connection.call(
      method,
      request as MessageInitShape<DescMessage>,
      options,
    )) as TaskAnswer<Name>;
  }
}
