import type { TarGap, TarLimit, TarReason } from "../../src/tar/index.js";

/**
 * One malicious, broken or odd archive. Without a `reason` it must give the tree that containerd unpacks. With one it
 * must be refused; containerd must refuse it, too, unless `stricter` says why we do more.
 */
export interface TarCase {
  readonly name: string;
  readonly tar: Buffer;
  readonly reason?: TarReason | TarLimit | TarGap;
  readonly stricter?: string;
}

export const same = (name: string, tar: Buffer): TarCase => ({ name, tar });

export const refused = (name: string, reason: NonNullable<TarCase["reason"]>, tar: Buffer): TarCase => ({
  name,
  tar,
  reason,
});

export const stricter = (
  name: string,
  reason: NonNullable<TarCase["reason"]>,
  tar: Buffer,
  why: string,
): TarCase => ({ name, tar, reason, stricter: why });
