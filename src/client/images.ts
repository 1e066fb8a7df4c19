import type { Image as ImageMessage } from "../../gen/containerd/services/images/v1/images_pb.js";
import { LazuliError, notFound } from "../errors/index.js";
import { type Platform, parseReference } from "../oci/index.js";
import type { RunConfig } from "../spec/index.js";
import type { Connection } from "./connection.js";
import { type Labels, nanosecondsOf, type Target, targetOf, type Waiting } from "./messages.js";
import { type PlatformImage, readPlatformImage } from "./read-image.js";
import { hasSnapshot } from "./unpack.js";
import { withLease } from "./with-lease.js";

interface ForPlatform extends Waiting {
  /** That of this machine by default. */
  readonly platform?: Platform | undefined;
}

/** An image of a namespace: a name for a manifest or an index. What it says is of the moment when it was asked for. */
export class Image {
  readonly name: string;
  readonly target: Target;
  readonly labels: Labels;
  /** Nanoseconds since 1970. */
  readonly createdAt: bigint;
  readonly updatedAt: bigint;
  readonly #connection: Connection;

  constructor(connection: Connection, message: ImageMessage) {
    this.#connection = connection;
    this.name = message.name;
    this.target = targetOf(message.target);
    this.labels = message.labels;
    this.createdAt = nanosecondsOf(message.createdAt);
    this.updatedAt = nanosecondsOf(message.updatedAt);
  }

  /** Its manifest, config and layers for a platform. @throws NOT_FOUND `platform-missing`, or a blob is not there */
  async read(options: ForPlatform = {}): Promise<PlatformImage> {
    return await readPlatformImage(this.#connection.content, this.target, options);
  }

  async config(options: ForPlatform = {}): Promise<RunConfig> {
    return (await this.read(options)).config;
  }

  /** Bytes of config and layers in the registry's form, whether they are here or not. */
  async sizeBytes(options: ForPlatform = {}): Promise<number> {
    const { manifest } = await this.read(options);
    return [manifest.config, ...manifest.layers].reduce((sum, { size }) => sum + size, 0);
  }

  /** Whether a container could start on it at once, lazily or not. */
  async isUnpacked(snapshotter: string, options: ForPlatform = {}): Promise<boolean> {
    const { layers } = await this.read(options);
    const key = layers.at(-1)?.chainId;
    if (key === undefined) return true;
    return await hasSnapshot(this.#connection, { snapshotter, key, signal: options.signal });
  }

  /** Gives it one more name; an image that has the name loses it. */
  async tag(name: string, { signal }: Waiting = {}): Promise<Image> {
    const { target, labels } = this;
    const full = parseReference(name).toString();
    return await withLease(
      this.#connection,
      async (leased) => await storeImage(leased, { name: full, target, labels, signal }),
      { signal },
    );
  }

  async setLabels(labels: Labels, { signal }: Waiting = {}): Promise<Image> {
    // Not named in the mask, but containerd 2.1 ends with a panic when it is absent.
    const target = { ...this.target, size: BigInt(this.target.size) };
    const image = { name: this.name, labels: { ...labels }, target };
    const paths = Object.keys(labels).map((key) => `labels.${key}`);
    const facts = { action: "label an image", subject: this.name, signal };
    const answer = await this.#connection.call(
      facts,
      async ({ images }, options) => await images.update({ image, updateMask: { paths } }, options),
    );
    return new Image(this.#connection, required(answer.image, this.name));
  }

  /** Takes the name away; what nothing else needs is collected. `sync`: before this returns. */
  async remove({ sync = false, signal }: Waiting & { readonly sync?: boolean } = {}): Promise<void> {
    const { name } = this;
    await this.#connection.call(
      { action: "remove an image", subject: name, signal },
      async ({ images }, options) => {
        await images.delete({ name, sync }, options);
      },
    );
  }
}

/** Filters as containerd's: `name==…`, `labels.a==b`; none: all. */
export async function listImages(
  connection: Connection,
  { filters = [], signal }: Waiting & { readonly filters?: readonly string[] } = {},
): Promise<readonly Image[]> {
  const answer = await connection.read(
    { action: "list images", signal },
    async ({ images }, options) => await images.list({ filters: [...filters] }, options),
  );
  return answer.images.map((message) => new Image(connection, message));
}

/** By its name as it is written, or with Docker's defaults filled in. @throws NOT_FOUND `image-unknown` */
export async function findImage(
  connection: Connection,
  name: string,
  { signal }: Waiting = {},
): Promise<Image> {
  for (const candidate of namesOf(name)) {
    const found = await getImage(connection, candidate, signal);
    if (found !== undefined) return new Image(connection, found);
  }
  throw notFound(
    `Cannot find the image ${JSON.stringify(name)} in the namespace ${connection.scope.namespace}`,
    {
      subject: name,
      reason: "image-unknown",
      hint: "`lazuli pull` brings it, `lazuli images` lists those that are here",
    },
  );
}

function namesOf(name: string): readonly string[] {
  try {
    return [...new Set([name, parseReference(name).toString()])];
  } catch (thrown) {
    // A name that is no reference: importers may give such.
    if (thrown instanceof LazuliError && thrown.reason === "reference-invalid") return [name];
    throw thrown;
  }
}

async function getImage(
  connection: Connection,
  name: string,
  signal: AbortSignal | undefined,
): Promise<ImageMessage | undefined> {
  try {
    const facts = { action: "look up an image", subject: name, signal };
    return (await connection.read(facts, async ({ images }, options) => await images.get({ name }, options)))
      .image;
  } catch (thrown) {
    if (thrown instanceof LazuliError && thrown.code === "NOT_FOUND") return undefined;
    throw thrown;
  }
}

/** Makes the image, or points the name at the new target. */
export async function storeImage(
  connection: Connection,
  wanted: Waiting & { readonly name: string; readonly target: Target; readonly labels: Labels },
): Promise<Image> {
  const { name, signal } = wanted;
  const target = { ...wanted.target, size: BigInt(wanted.target.size) };
  const image = { name, labels: { ...wanted.labels }, target };
  const facts = { action: "store an image", subject: name, signal };
  try {
    const made = await connection.call(
      facts,
      async ({ images }, options) => await images.create({ image }, options),
    );
    return new Image(connection, required(made.image, name));
  } catch (thrown) {
    if (!(thrown instanceof LazuliError) || thrown.code !== "ALREADY_EXISTS") throw thrown;
  }
  const paths = ["target", ...Object.keys(wanted.labels).map((key) => `labels.${key}`)];
  const changed = await connection.call(
    facts,
    async ({ images }, options) => await images.update({ image, updateMask: { paths } }, options),
  );
  return new Image(connection, required(changed.image, name));
}

function required(image: ImageMessage | undefined, name: string): ImageMessage {
  if (image !== undefined) return image;
  throw new LazuliError("DATA_LOSS", `Cannot store the image ${name}: the server's answer is empty`, {
    subject: name,
    reason: "answer-incomplete",
  });
}
