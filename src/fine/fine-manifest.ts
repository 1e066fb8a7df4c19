import { type Digest, parseDigest, parseJson, sha256 } from "../bytes/index.js";
import { invalidArgument, type LazuliError, resourceExhausted } from "../errors/index.js";
import { MANIFEST_BYTES_MAX, mediaTypes, parseManifest } from "../oci/index.js";
import { FINE_TABLE_BYTES_MAX } from "./limits.js";
import { FINE_ARTIFACT_TYPE, FINE_LAYER_ANNOTATION, fineMediaTypes } from "./names.js";

export interface FineBlob {
  readonly digest: Digest;
  readonly size: number;
}

/** What there is of one layer. The table names its windows by itself; here they are for whoever copies or keeps them. */
export interface FineReference {
  readonly layer: Digest;
  readonly table: FineBlob;
  readonly windows: FineBlob | undefined;
}

/** The bytes of the config, which has to be pushed as well. */
export const fineConfigBytes = Buffer.from("{}");

const DEPTH_MAX = 16;
const NODES_MAX = 500_000;

/** Writes the manifest of an index. */
export function buildFineManifest(options: {
  /** In the order of the image's layers. */
  readonly layers: readonly FineReference[];
  /** The image's manifest. */
  readonly subject: FineBlob & { readonly mediaType: string };
}): FineBlob & { readonly bytes: Buffer; readonly mediaType: string } {
  const { subject } = options;
  const layers = options.layers.flatMap(({ layer, table, windows }) => {
    const annotations = { [FINE_LAYER_ANNOTATION]: layer };
    const { digest, size } = table;
    const own = { mediaType: fineMediaTypes.table, digest, size, annotations };
    if (windows === undefined) return [own];
    return [
      own,
      { mediaType: fineMediaTypes.windows, digest: windows.digest, size: windows.size, annotations },
    ];
  });
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: FINE_ARTIFACT_TYPE,
      config: {
        mediaType: fineMediaTypes.config,
        digest: sha256(fineConfigBytes),
        size: fineConfigBytes.length,
      },
      layers,
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    }),
  );
  return { bytes, mediaType: mediaTypes.ociManifest, digest: sha256(bytes), size: bytes.length };
}

/**
 * The tables of an index whose digest was checked, by the digests of their layers.
 * @throws INVALID_ARGUMENT `fine-index-invalid`, `fine-index-other-image`, `fine-index-ambiguous`, or as parseManifest();
 * RESOURCE_EXHAUSTED `fine-table-too-large`
 */
export function parseFineManifest(
  bytes: Uint8Array,
  { subject }: { readonly subject: Digest },
): ReadonlyMap<Digest, FineBlob> {
  const { layers } = parseManifest(bytes);
  const fields = parseJson(bytes, {
    maxBytes: MANIFEST_BYTES_MAX,
    maxDepth: DEPTH_MAX,
    maxNodes: NODES_MAX,
  }) as Readonly<Record<string, unknown>>;
  if (fields.artifactType !== FINE_ARTIFACT_TYPE)
    throw refuse("fine-index-invalid", "its artifactType is another");
  const about = (fields.subject as { readonly digest?: unknown } | null | undefined)?.digest;
  if (about !== subject)
    throw refuse("fine-index-other-image", `want one of ${subject}, got one of ${shown(about)}`);
  const tables = new Map<Digest, FineBlob>();
  for (const { mediaType, digest, size, annotations } of layers) {
    if (mediaType !== fineMediaTypes.table) continue;
    const layer = parseDigest(annotations[FINE_LAYER_ANNOTATION]);
    const before = tables.get(layer);
    // An image may have a layer twice, and then its index has the same table twice.
    if (before !== undefined && before.digest !== digest)
      throw refuse("fine-index-ambiguous", `two tables are of ${layer}`);
    if (size > FINE_TABLE_BYTES_MAX) {
      throw resourceExhausted(
        `Cannot use index: want at most ${FINE_TABLE_BYTES_MAX} bytes in a table, got ${size}`,
        {
          subject: layer,
          reason: "fine-table-too-large",
        },
      );
    }
    tables.set(layer, { digest, size });
  }
  return tables;
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : "nothing";
}

function refuse(reason: string, problem: string): LazuliError {
  return invalidArgument(`Cannot use index: ${problem}`, { reason });
}
