import type { ErrorCode } from "../../src/errors/index.js";
import type { Behaviour, RegistryServerOptions, Rule } from "../../testing/registry/index.js";

/** What a read must end with: the right bytes, or this error. */
export type Verdict = "right bytes" | { readonly code: ErrorCode; readonly reason: string };

export interface HostileCase {
  readonly name: string;
  /** What the registry's servers do; `{self}` in headers and bodies becomes the registry's own address. */
  readonly rules: readonly Rule[];
  readonly expected: Verdict;
  readonly server?: RegistryServerOptions;
  /** The range that is read, of 200,000 bytes; 50,000 bytes from 1000 on by default. */
  readonly range?: { readonly offset: number; readonly length: number };
  /** The registry is reached by a public name, as far as the client knows. */
  readonly isPublic?: boolean;
  /** The size is not known beforehand. */
  readonly unknownSize?: boolean;
  /** Requests that the registry may see at most. */
  readonly requestsMax?: number;
}

export const always = (act: Behaviour): Rule[] => [{ path: /blobs/, act }];
export const once = (act: Behaviour): Rule[] => [{ path: /blobs/, times: 1, act }];
export const fails = (code: ErrorCode, reason: string): Verdict => ({ code, reason });
export const range = (text: string): Behaviour => ({ headers: { "content-range": text } });
