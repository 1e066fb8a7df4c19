import { invalidArgument, unimplemented } from "../errors/index.js";

/** Where a private key is, and its password; in ocicrypt's syntax `<path>[:pass=<password>|:file=<path>|:<password>]`. */
export interface KeySpec {
  /** A file, or a folder of files. */
  readonly path: string;
  readonly password: { readonly kind: "none" } | { readonly kind: "text" | "file"; readonly value: string };
}

/** @throws INVALID_ARGUMENT, UNIMPLEMENTED for a key provider; no message has the password */
export function parseKeySpec(text: string): KeySpec {
  if (text.startsWith("provider:")) {
    throw unimplemented("Cannot use a key provider: want the path of a private key", {
      reason: "encryption-scheme-unknown",
    });
  }
  const colon = text.indexOf(":");
  const path = colon < 0 ? text : text.slice(0, colon);
  if (!path.startsWith("/") || path.includes("\0"))
    throw invalid("want an absolute path before its first colon");
  if (colon < 0) return { path, password: { kind: "none" } };
  const password = text.slice(colon + 1);
  if (password.startsWith("fd=")) throw invalid(`want pass= or file= for ${path}, got fd=`);
  if (!password.startsWith("file="))
    return { path, password: { kind: "text", value: password.replace(/^pass=/, "") } };
  const value = password.slice("file=".length);
  if (!value.startsWith("/") || value.includes("\0"))
    throw invalid(`want an absolute path after file= for ${path}`);
  return { path, password: { kind: "file", value } };
}

/** The spec for people: a password in it is not shown. */
export function hidePassword(text: string): string {
  const colon = text.indexOf(":");
  return colon < 0 || text.startsWith(":file=", colon) ? text : `${text.slice(0, colon)}:pass=…`;
}

function invalid(what: string): Error {
  return invalidArgument(`Cannot read a private key's place: ${what}`, {
    reason: "decryption-key-place-invalid",
  });
}
