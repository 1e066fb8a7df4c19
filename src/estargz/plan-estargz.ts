import { type Digest, sha256 } from "../bytes/index.js";
import { footerOf } from "./footer.js";
import { TOC_DIGEST_ANNOTATION } from "./toc-image.js";
import { tarOfToc } from "./toc-tar.js";
import { TocWriter } from "./toc-writer.js";

/** Annotation of a layer: bytes of the uncompressed blob. Podman's additional layer stores want it. */
export const UNCOMPRESSED_SIZE_ANNOTATION = "io.containers.estargz.uncompressed-size";

export interface PlanEstargzOptions {
  /** Makes one gzip member. */
  readonly compress: (bytes: Buffer) => Promise<Buffer>;
  /** Leaves the TOC out of the blob, so that the tar and its diffID stay as they were; false unless given. */
  readonly isTocExternal?: boolean;
}

export interface EstargzEnd {
  /** What follows the streams in the blob. */
  readonly tail: Buffer;
  /** What follows the streams' content in the uncompressed blob: for its digest, the diffID. */
  readonly tarTail: Buffer;
  /** With an external TOC: the layer of the TOC image. */
  readonly tocBlob: Buffer | undefined;
  readonly tocDigest: Digest;
  /** For the layer's descriptor. */
  readonly annotations: Readonly<Record<string, string>>;
}

export interface EstargzPlan {
  /** Takes the entries and streams of the layer. */
  readonly toc: TocWriter;
  /** Call it once, after the last stream. `contentSize`: uncompressed bytes of all streams. @throws as TocWriter */
  finish(options: { readonly contentSize: number }): Promise<EstargzEnd>;
}

/**
 * The writing half of eStargz: whoever converts feeds entries, chunks and the lengths of compressed streams, emits the
 * streams, and then what finish() gives. A stream begins at the content of each file and at the chunks in it; the header
 * of a file is the end of the stream before. With the TOC inside, the tar must come without its end blocks: they follow
 * the TOC; with an external one the streams hold the whole tar.
 */
export function planEstargz(options: PlanEstargzOptions): EstargzPlan {
  const toc = new TocWriter({ dialect: "stargz" });
  return {
    toc,
    finish: async ({ contentSize }) => {
      const json = toc.finish();
      const tocDigest = sha256(json);
      const tar = tarOfToc(json);
      const member = await options.compress(tar);
      const isInside = options.isTocExternal !== true;
      const footer = footerOf(
        isInside ? { kind: "estargz", tocOffset: toc.blobLength } : { kind: "external" },
      );
      return {
        tail: isInside ? Buffer.concat([member, footer]) : footer,
        tarTail: isInside ? tar : Buffer.alloc(0),
        tocBlob: isInside ? undefined : member,
        tocDigest,
        annotations: {
          [TOC_DIGEST_ANNOTATION]: tocDigest,
          [UNCOMPRESSED_SIZE_ANNOTATION]: String(contentSize + (isInside ? tar.length : 0)),
        },
      };
    },
  };
}
