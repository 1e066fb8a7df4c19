import type { Digest } from "../bytes/index.js";

/**
 * What starts of an image read of its files, in the order of need. It names files by path and size, so that it fits an
 * image in whatever format, and most of the next tag. Advice only: nothing that is read comes from it. Bytes and
 * milliseconds.
 */
export interface Profile {
  readonly version: 1;
  /** `registry.example/library/python`; "" where nobody knows it. */
  readonly repository: string;
  /** The image's manifest; undefined: only its layers are known. */
  readonly manifest: Digest | undefined;
  /** The layers that were read lazily, lowest first. */
  readonly layers: readonly Digest[];
  /** Entrypoint and arguments of the containers; undefined: nobody knows them. */
  readonly command: readonly string[] | undefined;
  /** How many starts it was learnt from. */
  readonly starts: number;
  readonly files: readonly ProfileFile[];
  /** By `startMs`, that is in the order of need. */
  readonly entries: readonly ProfileEntry[];
}

export interface ProfileFile {
  /** Index into `layers`. */
  readonly layer: number;
  /** From the layer's root, no slash in front. */
  readonly path: string;
  readonly size: number;
}

export interface ProfileEntry {
  /** Index into `files`. */
  readonly file: number;
  readonly offset: number;
  readonly length: number;
  /** Starts that read it. */
  readonly starts: number;
  /** When it was first read, in the last starts that did, oldest first; 1 to TIMES_MAX of them. */
  readonly timesMs: readonly number[];
}

/** What one start read, by its files. */
export interface StartReads extends Pick<Profile, "repository" | "manifest" | "layers" | "command"> {
  readonly reads: readonly StartRead[];
}

export interface StartRead extends ProfileFile {
  readonly offset: number;
  readonly length: number;
  readonly atMs: number;
}
