import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { unavailable } from "../errors/index.js";
import { BoundedMap } from "./bounded-map.js";
import type { TlsFacts } from "./endpoint.js";
import { AGENTS_MAX } from "./limits.js";

/** Certificates and keys as OpenSSL has them. Parsing the machine's authorities takes 25 ms, so what was parsed is kept. */
export class SecureContexts {
  readonly #parsed = new BoundedMap<string, SecureContext>({ entriesMax: AGENTS_MAX });
  readonly #keys = new WeakMap<TlsFacts, string>();

  /** The same for the same content. */
  keyOf(tls: TlsFacts): string {
    let key = this.#keys.get(tls);
    if (key === undefined) {
      key = createHash("sha256").update(JSON.stringify(tls)).digest("hex");
      this.#keys.set(tls, key);
    }
    return key;
  }

  /** @throws UNAVAILABLE `tls-failed` */
  of(tls: TlsFacts): SecureContext {
    const key = this.keyOf(tls);
    let context = this.#parsed.get(key);
    if (context === undefined) {
      context = secureContextOf(tls);
      this.#parsed.set(key, context);
    }
    return context;
  }
}

/** Where distributions keep the authorities that the administrator trusts; Node alone would use its own list. */
const systemBundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

let systemAuthorities: readonly string[] | undefined;

function trustedAuthorities(): readonly string[] {
  if (systemAuthorities === undefined) {
    const bundle = [process.env.SSL_CERT_FILE ?? "", ...systemBundles].find((path) => existsSync(path));
    systemAuthorities = bundle === undefined ? rootCertificates : [readFileSync(bundle, "utf8")];
  }
  return systemAuthorities;
}

function secureContextOf(tls: TlsFacts): SecureContext {
  try {
    return createSecureContext({
      ca: [...trustedAuthorities(), ...tls.authorities],
      cert: tls.clientPairs.map((pair) => pair.certificate),
      key: tls.clientPairs.map((pair) => pair.key),
    });
  } catch (error) {
    // The texts of OpenSSL name no key material, but the cause is left out all the same: its input was a secret.
    const code = error instanceof Error ? String((error as NodeJS.ErrnoException).code) : "unknown";
    throw unavailable(`Cannot use the configured certificates: want PEM, got ${code}`, {
      reason: "tls-failed",
      hint: 'Check "ca" and "client" in hosts.toml',
    });
  }
}
