import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { promisify } from "node:util";
import type { StreamRuntime, StreamServerOptions } from "../cri/index.js";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import type { Config } from "./config-keys.js";

/** How long a certificate that is made at each start counts. */
const CERTIFICATE_DAYS = 365;

/** @throws FAILED_PRECONDITION `stream-tls-missing`; NOT_FOUND for files that are not there */
export async function streamOptions(config: Config, runtime: StreamRuntime): Promise<StreamServerOptions> {
  const { streamServerAddress, streamServerPort, streamIdleTimeoutMs } = config.cri;
  return {
    address: streamServerAddress,
    port: streamServerPort,
    tls: await keyPair(config),
    idleTimeoutMs: streamIdleTimeoutMs,
    runtime,
  };
}

async function keyPair({ cri }: Config): Promise<StreamServerOptions["tls"]> {
  const { enableTlsStreaming, tlsCertFile, tlsKeyFile } = cri;
  if (!enableTlsStreaming) return undefined;
  if (tlsCertFile !== undefined && tlsKeyFile !== undefined) {
    return { certificate: await readFile(tlsCertFile, "utf8"), key: await readFile(tlsKeyFile, "utf8") };
  }
  if ((tlsCertFile ?? tlsKeyFile) === undefined) return await ownKeyPair();
  throw failedPrecondition(
    "Cannot serve streams with TLS: want both tls_cert_file and tls_key_file, got one",
    {
      reason: "stream-tls-missing",
    },
  );
}

async function ownKeyPair(): Promise<NonNullable<StreamServerOptions["tls"]>> {
  const name = hostname();
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"];
  args.push(
    "-days",
    String(CERTIFICATE_DAYS),
    "-subj",
    `/CN=${name}`,
    "-addext",
    `subjectAltName=DNS:${name}`,
  );
  args.push("-keyout", "/dev/stdout", "-out", "/dev/stdout");
  try {
    const { stdout } = await promisify(execFile)("openssl", args);
    const part = (kind: string): string => {
      const found = new RegExp(`-----BEGIN ${kind}-----[^-]+-----END ${kind}-----\n`).exec(stdout);
      if (found === null) throw new Error(`openssl printed no ${kind}`);
      return found[0];
    };
    return { certificate: part("CERTIFICATE"), key: part("PRIVATE KEY") };
  } catch (thrown) {
    throw failedPrecondition(
      `Cannot make a certificate for streams with openssl: ${LazuliError.from(thrown).message}`,
      {
        reason: "stream-tls-missing",
        hint: "Install openssl, or give tls_cert_file and tls_key_file",
        cause: thrown,
      },
    );
  }
}
