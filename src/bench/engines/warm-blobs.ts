import { open, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Documents of an image: an index, its manifests. More are not ours. */
const DOCUMENTS_MAX = 16;
/** A registry of our own: nothing else becomes a path. */
const isDigest = (text: string): boolean => /^sha256:[0-9a-f]{64}$/.test(text);
const READ_BYTES = 1024 * 1024;

/** Reads what a tag leads to, so that the kernel has it: the disk of a distant registry is not what is measured. */
export async function warmBlobs(options: {
  readonly cacheFolder: string;
  readonly repository: string;
  readonly tag: string;
}): Promise<void> {
  const { cacheFolder, repository, tag } = options;
  const root = join(cacheFolder, "registry", "docker", "registry", "v2");
  const link = join(root, "repositories", repository, "_manifests", "tags", tag, "current", "link");
  const pathOf = (digest: string): string => {
    const hex = digest.slice(digest.indexOf(":") + 1);
    return join(root, "blobs", "sha256", hex.slice(0, 2), hex, "data");
  };
  const documents = [(await readFile(link, "utf8")).trim()];
  for (let at = 0; at < documents.length && at < DOCUMENTS_MAX; at += 1) {
    const parsed = JSON.parse(await readFile(pathOf(documents[at]!), "utf8")) as Document;
    documents.push(...(parsed.manifests ?? []).map(({ digest }) => digest).filter(isDigest));
    const blobs = [...(parsed.config === undefined ? [] : [parsed.config]), ...(parsed.layers ?? [])];
    for (const { digest } of blobs.filter((blob) => isDigest(blob.digest))) await readWhole(pathOf(digest));
  }
}

interface Document {
  readonly manifests?: readonly { readonly digest: string }[];
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
}

async function readWhole(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(READ_BYTES);
    while ((await file.read(buffer, 0, READ_BYTES)).bytesRead > 0);
  } finally {
    await file.close();
  }
}
