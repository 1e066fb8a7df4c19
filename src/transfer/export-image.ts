import { createHash } from "node:crypto";
import { bytesOfText, type Digest, digestAlgorithm } from "../bytes/index.js";
import type { ContentStore } from "../content/index.js";
import { dataLoss, invalidArgument, notFound, unimplemented } from "../errors/index.js";
import { log } from "../observe/index.js";
import {
  type Descriptor,
  isIndexType,
  isManifestType,
  MANIFEST_BYTES_MAX,
  mediaTypes,
  type Platform,
  parseIndex,
  parseManifest,
} from "../oci/index.js";
import { TarWriter } from "../tar/index.js";
import { goDescriptor, goJson } from "./go-json.js";
import { familiarName, ociRefName } from "./image-names.js";
import { matches, sortedByPlatform } from "./platform-filter.js";
import { IMAGE_NAME_ANNOTATION, REF_NAME_ANNOTATION } from "./store-image.js";
import { childrenOf, descriptorOf, isNonDistributable, readStored, sourceLabels } from "./stored-image.js";
import type { ExportWish, ImageStoreWish, TransferCall, TransferParts } from "./transfer-contract.js";

export interface ExportImages {
  readonly parts: Pick<TransferParts, "images" | "wholeContent" | "platform">;
  readonly call: TransferCall & { readonly lease: string };
  readonly store: ImageStoreWish;
  readonly wish: ExportWish;
}

/** Bytes that are read of a blob at once. */
const READ_BYTES = 256 * 1024;

interface Member {
  readonly name: string;
  readonly mode: number;
  readonly size: number;
  /** Undefined for a folder. */
  readonly read: (() => AsyncIterable<Uint8Array>) | undefined;
}

interface DockerImage {
  readonly manifest: Descriptor;
  readonly names: string[];
}

/** Images of the store as an OCI archive that Docker can load too, piece by piece. @throws NOT_FOUND, DATA_LOSS */
export async function* exportImages(request: ExportImages): AsyncGenerator<Uint8Array> {
  const members = await new Export(request).members();
  const tar = new TarWriter();
  let last: string | undefined;
  for (const member of members.sort((left, right) => (left.name < right.name ? -1 : 1))) {
    request.call.signal.throwIfAborted();
    if (member.name === last) continue;
    last = member.name;
    yield* written(tar, member);
  }
  yield tar.end();
}

async function* written(tar: TarWriter, member: Member): AsyncGenerator<Uint8Array> {
  const { name, mode, size, read } = member;
  const mtime = { seconds: 0n, nanoseconds: 0 };
  const facts = { name: bytesOfText(name), mode, uid: 0, gid: 0, mtime };
  if (read === undefined) {
    yield tar.header({ kind: "directory", ...facts });
    return;
  }
  yield tar.header({ kind: "file", ...facts, size });
  for await (const piece of read()) {
    tar.content(piece.length);
    yield piece;
  }
  yield tar.padding();
}

class Export {
  readonly #request: ExportImages;
  readonly #content: ContentStore;
  readonly #members: Member[] = [];
  readonly #algorithms = new Set<string>();
  readonly #docker = new Map<Digest, DockerImage>();
  readonly #platforms: readonly Platform[];

  constructor(request: ExportImages) {
    this.#request = request;
    this.#content = request.parts.wholeContent(request.call);
    const { platforms } = request.wish;
    this.#platforms = platforms.length > 0 ? platforms : [request.parts.platform];
  }

  async members(): Promise<Member[]> {
    const { wish } = this.#request;
    const roots: Descriptor[] = [];
    for (const root of this.#lookUp()) {
      const located = await this.#located(root);
      if (located !== undefined) roots.push(located);
    }
    for (const root of roots) await this.#addRoot(root);
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: roots.map(goDescriptor) };
    this.#addText("oci-layout", '{"imageLayoutVersion":"1.0.0"}', 0o444);
    this.#addText("index.json", goJson(index), 0o644);
    if (!wish.skipCompatibilityManifest && this.#docker.size > 0) {
      this.#addText("manifest.json", goJson(await this.#dockerManifest()), 0o644);
    }
    if (this.#algorithms.size > 0) this.#addFolder("blobs");
    for (const algorithm of this.#algorithms) this.#addFolder(`blobs/${algorithm}`);
    return this.#members;
  }

  #lookUp(): readonly Descriptor[] {
    const { parts, call, store } = this.#request;
    if (store.extraReferences.some(({ isPrefix }) => isPrefix)) {
      throw unimplemented("prefix lookup on export not implemented", { reason: "prefix-lookup" });
    }
    const names = [store.name, ...store.extraReferences.map(({ name }) => name)].filter(
      (name) => name !== "",
    );
    return names.map((name) => {
      const { target } = parts.images.get({ namespace: call.namespace, name });
      const annotations = {
        ...target.annotations,
        [IMAGE_NAME_ANNOTATION]: name,
        [REF_NAME_ANNOTATION]: ociRefName(name),
      };
      return descriptorOf({ ...target, annotations });
    });
  }

  /** With the labels that tell where it can be had. */
  async #located(root: Descriptor): Promise<Descriptor | undefined> {
    try {
      const { labels } = await this.#content.info(root.digest);
      return { ...root, annotations: { ...root.annotations, ...sourceLabels(labels) } };
    } catch (thrown) {
      log.warn("Cannot export an image whose content is not there", {
        digest: root.digest,
        error: String(thrown),
      });
      return undefined;
    }
  }

  async #addRoot(root: Descriptor): Promise<void> {
    const name = root.annotations[IMAGE_NAME_ANNOTATION]!;
    if (isManifestType(root.mediaType)) {
      await this.#addTree(root);
      this.#name(root, name);
      return;
    }
    if (!isIndexType(root.mediaType)) {
      throw invalidArgument("only manifests may be exported", { subject: name, reason: "not-a-manifest" });
    }
    this.#addBlob(root);
    const { signal } = this.#request.call;
    const bytes = await readStored(this.#content, root.digest, { signal, bytesMax: MANIFEST_BYTES_MAX });
    const fitting: Descriptor[] = [];
    for (const manifest of parseIndex(bytes, { contentType: root.mediaType }).manifests) {
      if (matches(this.#platforms, manifest)) fitting.push(manifest);
      else if (!this.#request.wish.allPlatforms) continue;
      await this.#addTree(manifest);
    }
    const best = sortedByPlatform(this.#platforms, fitting)[0];
    if (best === undefined) throw notFound("no manifest found for platform", { reason: "platform-missing" });
    this.#name(best, name);
  }

  #name(manifest: Descriptor, name: string): void {
    const known = this.#docker.get(manifest.digest);
    if (known === undefined) this.#docker.set(manifest.digest, { manifest, names: [name] });
    else known.names.push(name);
  }

  async #addTree(descriptor: Descriptor): Promise<void> {
    if (this.#request.wish.skipNonDistributable && isNonDistributable(descriptor)) return;
    this.#algorithms.add(digestAlgorithm(descriptor.digest));
    this.#addBlob(descriptor);
    const { signal } = this.#request.call;
    for (const child of await childrenOf(this.#content, descriptor, { signal })) await this.#addTree(child);
  }

  #addBlob({ digest, size }: Descriptor): void {
    const { signal } = this.#request.call;
    const content = this.#content;
    const read = async function* (): AsyncGenerator<Uint8Array> {
      const algorithm = digestAlgorithm(digest);
      const hash = createHash(algorithm);
      await using reader = await content.open(digest, { signal });
      if (reader.size !== size) throw wrongBlob(digest, `${reader.size} bytes in place of ${size}`);
      for (let offset = 0; offset < size; ) {
        const piece = await reader.read(offset, READ_BYTES);
        offset += piece.length;
        hash.update(piece);
        yield piece;
      }
      const actual = `${algorithm}:${hash.digest("hex")}`;
      if (actual !== digest) throw wrongBlob(digest, `the digest ${actual}`);
    };
    this.#members.push({ name: blobPath(digest), mode: 0o444, size, read });
  }

  #addText(name: string, text: string, mode: number): void {
    const bytes = Buffer.from(text);
    const read = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes;
    };
    this.#members.push({ name, mode, size: bytes.length, read });
  }

  #addFolder(name: string): void {
    this.#members.push({ name, mode: 0o755, size: 0, read: undefined });
  }

  async #dockerManifest(): Promise<readonly object[]> {
    const { signal } = this.#request.call;
    const images: object[] = [];
    for (const { manifest, names } of this.#docker.values()) {
      const bytes = await readStored(this.#content, manifest.digest, {
        signal,
        bytesMax: MANIFEST_BYTES_MAX,
      });
      const { config, layers } = parseManifest(bytes);
      images.push({
        Config: blobPath(config.digest),
        RepoTags: names.map(familiarName),
        Layers: layers.length === 0 ? null : layers.map(({ digest }) => blobPath(digest)),
      });
    }
    return images;
  }
}

function blobPath(digest: Digest): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function wrongBlob(digest: Digest, actual: string): Error {
  return dataLoss(`Cannot export ${digest}: it has ${actual}`, { subject: digest, reason: "blob-damaged" });
}
