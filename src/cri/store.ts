import { LazuliError } from "../errors/index.js";
import {
  type ContainerRequest,
  type ContainerRow,
  ContainerTable,
  type Metadata,
  type SandboxRequest,
  type SandboxRow,
  SandboxTable,
} from "../metadata/index.js";
import {
  type ContainerRecord,
  type ContainerStatusRecord,
  CRI_NAMESPACE,
  type CriContainer,
  type Pod,
  type PodRecord,
} from "./contract.js";
import { StoreEntries } from "./store-entries.js";
import {
  CONTAINER_RECORD,
  CONTAINER_STATUS,
  containerRecordAny,
  containerRecordOf,
  containerStatusAny,
  containerStatusOf,
  POD_RECORD,
  podRecordAny,
  podRecordOf,
} from "./store-records.js";

export interface CriStoreOptions {
  readonly metadata: Metadata;
  readonly now: () => bigint;
}

/** A row with what CRI stored in it. */
export interface StoredPod {
  readonly row: SandboxRow;
  readonly record: PodRecord;
}

export interface StoredContainer {
  readonly row: ContainerRow;
  readonly record: ContainerRecord;
  readonly status: ContainerStatusRecord;
}

/** What of a row CRI's record does not say. */
export type PodRow = Pick<SandboxRequest, "sandboxer" | "runtime" | "spec" | "labels">;
export type CriContainerRow = Pick<
  ContainerRequest,
  "image" | "runtime" | "spec" | "snapshotter" | "snapshotKey" | "labels"
>;

/** Pods and containers of CRI: those in memory are what clients are shown, those in the tables are found after a restart. */
export class CriStore {
  readonly pods: PodStore;
  readonly containers: ContainerStore;

  constructor(options: CriStoreOptions) {
    this.pods = new PodStore(options);
    this.containers = new ContainerStore(options);
  }
}

export class PodStore extends StoreEntries<Pod> {
  readonly #table: SandboxTable;

  constructor(options: CriStoreOptions) {
    super("sandbox");
    this.#table = new SandboxTable(options);
  }

  /** Stores a pod that put() may show later. @throws ALREADY_EXISTS */
  async create(record: PodRecord, row: PodRow): Promise<void> {
    await this.#table.create(podRequest(record, row));
  }

  /** Stores what is new of it. @throws NOT_FOUND */
  async save(record: PodRecord, row: PodRow): Promise<void> {
    await this.#table.update({
      ...podRequest(record, row),
      fieldPaths: [`extensions.${POD_RECORD}`, "spec", "labels"],
    });
  }

  /** The row of a pod. @throws NOT_FOUND */
  rowOf(id: string): SandboxRow {
    return this.#table.get({ namespace: CRI_NAMESPACE, id });
  }

  /** Takes it from the disk, then from memory with its name. Nothing happens where there is none. */
  async remove(id: string): Promise<void> {
    await ignoreMissing(this.#table.delete({ namespace: CRI_NAMESPACE, id }));
    this.delete(id);
  }

  /** All that is on the disk. `onDamaged` is told of the others. */
  stored(onDamaged: (id: string, error: LazuliError) => void): StoredPod[] {
    return this.#table
      .list({ namespace: CRI_NAMESPACE, filters: [] })
      .filter(({ extensions }) => extensions[POD_RECORD] !== undefined)
      .flatMap((row) => {
        try {
          return [{ row, record: podRecordOf(row.extensions[POD_RECORD], row.id) }];
        } catch (thrown) {
          onDamaged(row.id, LazuliError.from(thrown));
          return [];
        }
      });
  }
}

export class ContainerStore extends StoreEntries<CriContainer> {
  readonly #table: ContainerTable;

  constructor(options: CriStoreOptions) {
    super("container");
    this.#table = new ContainerTable(options);
  }

  /** Stores a container, then shows it. @throws ALREADY_EXISTS */
  async add(container: CriContainer, row: CriContainerRow): Promise<void> {
    const { id, podId } = container.record;
    await this.#table.create({
      ...row,
      namespace: CRI_NAMESPACE,
      id,
      sandboxId: podId,
      extensions: {
        [CONTAINER_RECORD]: containerRecordAny(container.record),
        [CONTAINER_STATUS]: containerStatusAny(container),
      },
    });
    this.put(container);
  }

  /** Shows what is new of it at once, and stores it. @throws NOT_FOUND */
  async update(id: string, change: Partial<ContainerStatusRecord>): Promise<CriContainer> {
    const next = { ...this.get(id), ...change };
    this.put(next);
    const row = this.rowOf(next.record.id);
    await this.#table.update({
      ...row,
      extensions: { [CONTAINER_STATUS]: containerStatusAny(next) },
      fieldPaths: [`extensions.${CONTAINER_STATUS}`],
    });
    return next;
  }

  /** Stores a new record and spec, as after UpdateContainerResources. @throws NOT_FOUND */
  async save(record: ContainerRecord, spec: ContainerRow["spec"]): Promise<void> {
    const row = this.rowOf(record.id);
    this.put({ ...this.get(record.id), record });
    await this.#table.update({
      ...row,
      spec,
      extensions: { [CONTAINER_RECORD]: containerRecordAny(record) },
      fieldPaths: [`extensions.${CONTAINER_RECORD}`, "spec"],
    });
  }

  /** The row of a container. @throws NOT_FOUND */
  rowOf(id: string): ContainerRow {
    return this.#table.get({ namespace: CRI_NAMESPACE, id });
  }

  /** Those of a pod that are shown. */
  ofPod(podId: string): readonly CriContainer[] {
    return this.list().filter(({ record }) => record.podId === podId);
  }

  /** Takes it from the disk, then from memory with its name. Nothing happens where there is none. */
  async remove(id: string): Promise<void> {
    await ignoreMissing(this.#table.delete({ namespace: CRI_NAMESPACE, id }));
    this.delete(id);
  }

  /** All that is on the disk. `onDamaged` is told of the others. */
  stored(onDamaged: (id: string, error: LazuliError) => void): StoredContainer[] {
    return this.#table
      .list({ namespace: CRI_NAMESPACE, filters: [] })
      .filter(({ extensions }) => extensions[CONTAINER_RECORD] !== undefined)
      .flatMap((row) => {
        const { id, extensions } = row;
        try {
          const record = containerRecordOf(extensions[CONTAINER_RECORD], id);
          return [{ row, record, status: containerStatusOf(extensions[CONTAINER_STATUS], id) }];
        } catch (thrown) {
          onDamaged(id, LazuliError.from(thrown));
          return [];
        }
      });
  }
}

function podRequest(record: PodRecord, row: PodRow): SandboxRequest {
  return {
    ...row,
    namespace: CRI_NAMESPACE,
    id: record.id,
    extensions: { [POD_RECORD]: podRecordAny(record) },
  };
}

async function ignoreMissing(removal: Promise<void>): Promise<void> {
  await removal.catch((thrown: unknown) => {
    if (LazuliError.from(thrown).code !== "NOT_FOUND") throw thrown;
  });
}
