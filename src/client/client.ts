import type { Plugin } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import type { Lease } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import type { Namespace } from "../../gen/containerd/services/namespaces/v1/namespace_pb.js";
import type { Info } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import type { ContentStore } from "../content/index.js";
import { invalidArgument } from "../errors/index.js";
import { type ExportOptions, exportImage, type ImportOptions, importImage } from "./archives.js";
import type { CallFacts } from "./call-errors.js";
import { Connection, type Services } from "./connection.js";
import { type Container, findContainer, listContainers } from "./containers.js";
import { type CreateContainerOptions, createContainer } from "./create-container.js";
import { readEvents, type ServerEvent } from "./events.js";
import { findImage, type Image, listImages } from "./images.js";
import type { Target, Waiting } from "./messages.js";
import { chooseSnapshotter, listPlugins } from "./plugins.js";
import { type PullOptions, pullImage } from "./pull.js";
import { type PushOptions, pushImage } from "./push.js";
import { type ProcessStatus, processStatus } from "./tasks.js";
import { type LeaseOptions, withLease } from "./with-lease.js";

export interface ConnectOptions {
  /** Path of the server's socket; `$CONTAINERD_ADDRESS`, else containerd's own by default. */
  readonly address?: string | undefined;
  /** `$CONTAINERD_NAMESPACE`, else `default`. */
  readonly namespace?: string | undefined;
  /** Where folders with FIFOs are made; `/run/lazuli/fifo` by default. */
  readonly fifoFolder?: string | undefined;
}

export interface Filtered extends Waiting {
  readonly filters?: readonly string[] | undefined;
}

const ADDRESS = "/run/containerd/containerd.sock";
const FIFO_FOLDER = "/run/lazuli/fifo";

/** A client of any server that speaks containerd's API. Nothing is asked before the first call. */
export function connect(options: ConnectOptions = {}): Client {
  const address = (options.address ?? process.env.CONTAINERD_ADDRESS ?? ADDRESS).replace(/^unix:\/\//, "");
  const namespace = options.namespace ?? process.env.CONTAINERD_NAMESPACE ?? "default";
  if (!address.startsWith("/")) {
    throw invalidArgument(`Cannot connect to ${JSON.stringify(address)}: want the path of a socket`, {
      subject: address,
      reason: "address-invalid",
      hint: `Write an absolute path, e.g. ${ADDRESS}`,
    });
  }
  return new Client(Connection.open(address, { namespace }), options.fifoFolder ?? FIFO_FOLDER);
}

/** What a server can do, in one namespace. Calls find the server again after it was restarted. */
export class Client implements Disposable {
  readonly #connection: Connection;
  readonly #fifoFolder: string;

  constructor(connection: Connection, fifoFolder: string) {
    this.#connection = connection;
    this.#fifoFolder = fifoFolder;
  }

  get address(): string {
    return this.#connection.address;
  }

  get namespace(): string {
    return this.#connection.scope.namespace;
  }

  /** containerd's services as they are on the wire, for what is not here. See also `call`. */
  get services(): Services {
    return this.#connection.services;
  }

  /** The content store, with containerd's semantics. */
  get content(): ContentStore {
    return this.#connection.content;
  }

  /** A call of a service with this client's namespace, lease and errors. */
  async call<T>(
    facts: CallFacts,
    work: (services: Services, options: ReturnType<Connection["options"]>) => Promise<T>,
  ): Promise<T> {
    return await this.#connection.call(facts, work);
  }

  /** The same connection in another namespace. Only the first client is disposed of. */
  inNamespace(namespace: string): Client {
    return new Client(this.#connection.within({ namespace }), this.#fifoFolder);
  }

  /** What is made in `work` stays until it is done, whatever refers to it. */
  async withLease<T>(work: (leased: Client) => Promise<T>, options: LeaseOptions = {}): Promise<T> {
    return await withLease(
      this.#connection,
      async (leased) => await work(new Client(leased, this.#fifoFolder)),
      options,
    );
  }

  async version({ signal }: Waiting = {}): Promise<{ readonly version: string; readonly revision: string }> {
    const facts = { action: "ask for the version", signal };
    const { version, revision } = await this.#connection.read(
      facts,
      async (services, options) => await services.version.version({}, options),
    );
    return { version, revision };
  }

  async plugins({ filters = [], signal }: Filtered = {}): Promise<readonly Plugin[]> {
    return await listPlugins(this.#connection, filters, { signal });
  }

  /** The snapshotter that a pull or container would use. @throws NOT_FOUND `snapshotter-unknown` */
  async snapshotter(wanted?: string, { signal }: Waiting = {}): Promise<string> {
    return (await chooseSnapshotter(this.#connection, wanted, { signal })).name;
  }

  async pull(reference: string, options: PullOptions = {}): Promise<Image> {
    return await pullImage(this.#connection, reference, options);
  }

  async push(name: string, options: PushOptions = {}): Promise<Target> {
    return await pushImage(this.#connection, name, options);
  }

  /** From an OCI archive. */
  async import(path: string, options: ImportOptions = {}): Promise<Image> {
    return await importImage(this.#connection, path, options);
  }

  /** Into an OCI archive. */
  async export(name: string, path: string, options: ExportOptions = {}): Promise<Target> {
    return await exportImage(this.#connection, { name, path }, options);
  }

  async images(options: Filtered = {}): Promise<readonly Image[]> {
    const { filters = [], signal } = options;
    return await listImages(this.#connection, { filters, signal });
  }

  /** @throws NOT_FOUND `image-unknown` */
  async image(name: string, options: Waiting = {}): Promise<Image> {
    return await findImage(this.#connection, name, options);
  }

  async createContainer(options: CreateContainerOptions): Promise<Container> {
    return await createContainer(this.#connection, options, this.#fifoFolder);
  }

  async containers(options: Filtered = {}): Promise<readonly Container[]> {
    return await listContainers(this.#connection, { ...options, fifoFolder: this.#fifoFolder });
  }

  /** @throws NOT_FOUND `container-unknown` */
  async container(id: string, options: Waiting = {}): Promise<Container> {
    return await findContainer(this.#connection, id, { ...options, fifoFolder: this.#fifoFolder });
  }

  /** The tasks of the namespace by their containers' ids. */
  async tasks({ signal }: Waiting = {}): Promise<ReadonlyMap<string, ProcessStatus>> {
    const facts = { action: "list tasks", signal };
    const answer = await this.#connection.read(
      facts,
      async ({ tasks }, options) => await tasks.list({}, options),
    );
    return new Map(answer.tasks.map((one) => [one.id || one.containerId, processStatus(one)]));
  }

  /** Of all namespaces, from now on. Filters: `namespace==default`, `topic~="/tasks/"`; several are alternatives. */
  events(
    filters: readonly string[] = [],
    options: Waiting = {},
  ): AsyncGenerator<ServerEvent, void, undefined> {
    return readEvents(this.#connection, filters, options);
  }

  async *snapshots(
    snapshotter: string,
    { filters = [], signal }: Filtered = {},
  ): AsyncGenerator<Info, void, undefined> {
    const facts = { action: "list snapshots", subject: snapshotter, signal };
    const batches = this.#connection.stream(facts, (services, options) =>
      services.snapshots.list({ snapshotter, filters: [...filters] }, options),
    );
    for await (const { info } of batches) yield* info;
  }

  async leases({ filters = [], signal }: Filtered = {}): Promise<readonly Lease[]> {
    const facts = { action: "list leases", signal };
    const answer = await this.#connection.read(
      facts,
      async (services, options) => await services.leases.list({ filters: [...filters] }, options),
    );
    return answer.leases;
  }

  async namespaces({ signal }: Waiting = {}): Promise<readonly Namespace[]> {
    const facts = { action: "list namespaces", signal };
    const answer = await this.#connection.read(
      facts,
      async (services, options) => await services.namespaces.list({}, options),
    );
    return answer.namespaces;
  }

  /** Ends all calls that are under way. */
  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
