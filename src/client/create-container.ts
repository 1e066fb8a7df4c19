import type { MessageInitShape } from "@bufbuild/protobuf";
import { OptionsSchema } from "../../gen/containerd/types/runc/options/oci_pb.js";
import { invalidArgument } from "../errors/index.js";
import type { Platform } from "../oci/index.js";
import { buildSpec, type RuntimeSpec, type SpecOption, withImageConfig } from "../spec/index.js";
import type { Connection } from "./connection.js";
import { Container, STOP_SIGNAL_LABEL } from "./containers.js";
import type { Image } from "./images.js";
import { jsonAny, type Labels, specTypes, type Waiting } from "./messages.js";
import { readAccounts } from "./mounted-rootfs.js";
import { packed } from "./named-stream.js";
import { chooseSnapshotter } from "./plugins.js";
import { removeSnapshot, unpackImage } from "./unpack.js";
import { withLease } from "./with-lease.js";

export interface CreateContainerOptions extends Waiting {
  /** Unique in the namespace: letters, digits, and `.`, `_`, `-` between them; at most 76. */
  readonly id: string;
  readonly image: Image;
  /** In place of the image's command; behind its entrypoint. */
  readonly args?: readonly string[] | undefined;
  /** Applied to containerd's default specification with the image's config, in order. */
  readonly options?: readonly SpecOption[] | undefined;
  readonly platform?: Platform | undefined;
  /** As for a pull. */
  readonly snapshotter?: string | undefined;
  /** `io.containerd.runc.v2` by default, or the absolute path of a shim. */
  readonly runtime?: string | undefined;
  readonly runtimeOptions?: MessageInitShape<typeof OptionsSchema> | undefined;
  readonly labels?: Labels | undefined;
}

const RUNTIME = "io.containerd.runc.v2";

/** containerd's identifiers (pkg/identifiers). @throws INVALID_ARGUMENT `id-invalid` */
export function checkContainerId(id: string): void {
  if (id.length <= 76 && /^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$/.test(id)) return;
  throw invalidArgument(
    `Cannot name a container ${JSON.stringify(id.slice(0, 100))}: want letters, digits and single . _ - between them, at most 76`,
    {
      subject: id.slice(0, 100),
      reason: "id-invalid",
    },
  );
}

/**
 * Makes a container of an image: a snapshot on top of its layers, and a specification from its config. Nothing runs yet.
 * @throws ALREADY_EXISTS, INVALID_ARGUMENT, NOT_FOUND `user-unknown`
 */
export async function createContainer(
  connection: Connection,
  options: CreateContainerOptions,
  fifoFolder: string,
): Promise<Container> {
  const { id, image, platform, signal } = options;
  checkContainerId(id);
  const snapshotter = (await chooseSnapshotter(connection, options.snapshotter, { signal })).name;
  const parts = await image.read({ platform, signal });
  return await withLease(
    connection,
    async (leased) => {
      const fetchLayer = async (): Promise<void> => undefined;
      const unpack = { name: image.name, image: parts, snapshotter, isLazy: false, fetchLayer, signal };
      await unpackImage(leased, unpack);
      const parent = parts.layers.at(-1)?.chainId ?? "";
      const mounts = await prepare(leased, { snapshotter, id, parent, signal });
      try {
        const accounts = await readAccounts(mounts, { signal });
        const spec = buildSpec({
          id,
          namespace: leased.scope.namespace,
          architecture: parts.config.architecture || undefined,
          accounts,
          options: [withImageConfig(parts.config, options.args), ...(options.options ?? [])],
        });
        const labels = {
          ...(parts.config.stopSignal === "" ? {} : { [STOP_SIGNAL_LABEL]: parts.config.stopSignal }),
          ...options.labels,
        };
        return await store(leased, { ...options, spec, labels, snapshotter, fifoFolder });
      } catch (thrown) {
        // The collector takes it when this fails as well.
        await removeSnapshot(leased, { snapshotter, key: id }).catch(() => undefined);
        throw thrown;
      }
    },
    { signal },
  ).then((made) => new Container(connection, made, fifoFolder));
}

async function prepare(
  connection: Connection,
  request: Waiting & { readonly snapshotter: string; readonly id: string; readonly parent: string },
) {
  const { snapshotter, id: key, parent, signal } = request;
  const answer = await connection.call(
    { action: "make a container's file system", subject: key, signal },
    async ({ snapshots }, options) => await snapshots.prepare({ snapshotter, key, parent }, options),
  );
  return answer.mounts;
}

async function store(
  connection: Connection,
  request: CreateContainerOptions & {
    readonly spec: RuntimeSpec;
    readonly labels: Labels;
    readonly snapshotter: string;
    readonly fifoFolder: string;
  },
) {
  const { id, image, spec, labels, snapshotter, runtimeOptions, signal } = request;
  const container = {
    id,
    labels: { ...labels },
    image: image.name,
    runtime: {
      name: request.runtime ?? RUNTIME,
      ...(runtimeOptions === undefined ? {} : { options: packed(OptionsSchema, runtimeOptions) }),
    },
    spec: jsonAny(specTypes.spec, spec),
    snapshotter,
    snapshotKey: id,
  };
  const answer = await connection.call(
    { action: "make a container", subject: id, signal },
    async ({ containers }, options) => await containers.create({ container }, options),
  );
  if (answer.container === undefined)
    throw invalidArgument(`Cannot make the container ${id}: no answer`, {
      subject: id,
      reason: "answer-incomplete",
    });
  return answer.container;
}
