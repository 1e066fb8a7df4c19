import type { DescService } from "@bufbuild/protobuf";
import { type CallOptions, type Client, createClient, type Transport } from "@connectrpc/connect";
import { Containers } from "../../gen/containerd/services/containers/v1/containers_pb.js";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.js";
import { Diff } from "../../gen/containerd/services/diff/v1/diff_pb.js";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.js";
import { Images } from "../../gen/containerd/services/images/v1/images_pb.js";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import { Namespaces } from "../../gen/containerd/services/namespaces/v1/namespace_pb.js";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { Streaming } from "../../gen/containerd/services/streaming/v1/streaming_pb.js";
import { Tasks } from "../../gen/containerd/services/tasks/v1/tasks_pb.js";
import { Transfer } from "../../gen/containerd/services/transfer/v1/transfer_pb.js";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.js";
import { linkSignals } from "../async/index.js";
import { type ContentStore, proxyContentStore } from "../content/index.js";
import { LazuliError } from "../errors/index.js";
import { grpcOverSocket } from "../grpc/index.js";
import { type CallFacts, callError } from "./call-errors.js";

/** Whom a call is for. */
export interface CallScope {
  readonly namespace: string;
  /** What is made belongs to this lease. */
  readonly lease?: string | undefined;
}

/** Clients of containerd's services as they are on the wire: for what the rest of the library doesn't cover. */
export interface Services {
  readonly containers: Client<typeof Containers>;
  readonly content: Client<typeof Content>;
  readonly diff: Client<typeof Diff>;
  readonly events: Client<typeof Events>;
  readonly images: Client<typeof Images>;
  readonly introspection: Client<typeof Introspection>;
  readonly leases: Client<typeof Leases>;
  readonly namespaces: Client<typeof Namespaces>;
  readonly snapshots: Client<typeof Snapshots>;
  readonly streaming: Client<typeof Streaming>;
  readonly tasks: Client<typeof Tasks>;
  readonly transfer: Client<typeof Transfer>;
  readonly version: Client<typeof Version>;
}

interface Shared {
  readonly address: string;
  readonly services: Services;
  /** To undo when the connection ends, whoever's scope it was made in. */
  readonly endings: Set<() => void>;
}

/** One HTTP/2 session on a Unix socket, seen from one namespace. Connects at the first call, and again after a break. */
export class Connection implements Disposable {
  readonly scope: CallScope;
  readonly #shared: Shared;
  #content: ContentStore | undefined;
  #endContent: (() => void) | undefined;

  private constructor(shared: Shared, scope: CallScope) {
    this.#shared = shared;
    this.scope = scope;
  }

  static open(address: string, scope: CallScope): Connection {
    const connection = grpcOverSocket(address, { isBulk: true });
    const endings = new Set([() => connection[Symbol.dispose]()]);
    return new Connection({ address, services: servicesOf(connection.transport), endings }, scope);
  }

  get address(): string {
    return this.#shared.address;
  }

  get services(): Services {
    return this.#shared.services;
  }

  /** The content store of this scope. */
  get content(): ContentStore {
    if (this.#content === undefined) {
      const { address: socketPath } = this;
      const store = proxyContentStore({ socketPath, ...this.scope });
      this.#endContent = () => void store[Symbol.asyncDispose]();
      this.#shared.endings.add(this.#endContent);
      this.#content = store;
    }
    return this.#content;
  }

  /** Ends what this scope has beside the session, until it is asked for again: a scope of a lease is over before the client. */
  release(): void {
    const end = this.#endContent;
    if (end === undefined) return;
    this.#endContent = undefined;
    this.#content = undefined;
    this.#shared.endings.delete(end);
    end();
  }

  /** The same session in another namespace or under a lease. */
  within(scope: CallScope): Connection {
    return new Connection(this.#shared, scope);
  }

  options(signal?: AbortSignal): CallOptions {
    const { namespace, lease } = this.scope;
    return {
      headers: {
        "containerd-namespace": namespace,
        ...(lease === undefined ? {} : { "containerd-lease": lease }),
      },
      ...(signal === undefined ? {} : { signal }),
    };
  }

  error(thrown: unknown, facts: CallFacts): Error {
    return callError(thrown, this.address, facts);
  }

  /** A call with our headers and errors. */
  async call<T>(
    facts: CallFacts,
    work: (services: Services, options: CallOptions) => Promise<T>,
  ): Promise<T> {
    facts.signal?.throwIfAborted();
    try {
      return await work(this.services, this.options(facts.signal));
    } catch (thrown) {
      throw this.error(thrown, facts);
    }
  }

  /** As `call` for what changes nothing: asked once more when the connection was one of before a restart. */
  async read<T>(
    facts: CallFacts,
    work: (services: Services, options: CallOptions) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.call(facts, work);
    } catch (thrown) {
      if (!(thrown instanceof LazuliError) || thrown.reason !== "server-unreachable") throw thrown;
      return await this.call(facts, work);
    }
  }

  /** As `call` for an answer in pieces. Who stops reading ends the call. */
  async *stream<T>(
    facts: CallFacts,
    work: (services: Services, options: CallOptions) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    using linked = linkSignals([facts.signal]);
    try {
      yield* work(this.services, this.options(linked.signal));
    } catch (thrown) {
      throw this.error(thrown, facts);
    } finally {
      linked.abort();
    }
  }

  [Symbol.dispose](): void {
    for (const end of this.#shared.endings) end();
    this.#shared.endings.clear();
  }
}

function servicesOf(transport: Transport): Services {
  const made = <S extends DescService>(service: S): Client<S> => createClient(service, transport);
  return {
    containers: made(Containers),
    content: made(Content),
    diff: made(Diff),
    events: made(Events),
    images: made(Images),
    introspection: made(Introspection),
    leases: made(Leases),
    namespaces: made(Namespaces),
    snapshots: made(Snapshots),
    streaming: made(Streaming),
    tasks: made(Tasks),
    transfer: made(Transfer),
    version: made(Version),
  };
}
