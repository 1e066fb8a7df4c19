import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command, freePort, startService } from "../tools/index.js";

/** Any name but a loopback one: clients take the bytes of such a registry without TLS. */
export const REGISTRY_NAME = "registry.lazuli.test";

export interface BenchRegistry {
  readonly port: number;
  /** Requests for images that were answered. */
  requests(): Promise<number>;
  stop(): Promise<void>;
}

export interface BenchRegistryOptions {
  /** With the blobs. */
  readonly cacheFolder: string;
  /** For everything else. */
  readonly folder: string;
  /** Undefined: plain HTTP. */
  readonly certificate: Certificate | undefined;
}

/** Paths of PEM files. The certificate is its own authority. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

export async function makeCertificate(folder: string): Promise<Certificate> {
  const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
  const names = `subjectAltName=DNS:${REGISTRY_NAME},IP:127.0.0.1`;
  await command("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${REGISTRY_NAME}`, "-addext", names, "-keyout", key, "-out", certificate],
  ]);
  return { certificate, key };
}

/** Debian's docker-registry on blobs that stay. */
export async function startBenchRegistry(options: BenchRegistryOptions): Promise<BenchRegistry> {
  const { folder, cacheFolder, certificate } = options;
  const port = await freePort();
  const blobs = join(cacheFolder, "registry");
  await mkdir(blobs, { recursive: true });
  const name = certificate === undefined ? "plain" : "tls";
  const [config, logFile] = [join(folder, `registry-${name}.yml`), join(folder, `registry-${name}.log`)];
  const tls =
    certificate === undefined
      ? ""
      : `, tls: { certificate: ${certificate.certificate}, key: ${certificate.key} }`;
  const lines = [
    "version: 0.1",
    "log: { level: warn, accesslog: { disabled: false } }",
    `storage: { filesystem: { rootdirectory: ${blobs}, maxthreads: 100 } }`,
    `http: { addr: "127.0.0.1:${port}"${tls} }`,
  ];
  await writeFile(config, `${lines.join("\n")}\n`);
  const service = await startService({
    program: "docker-registry",
    args: ["serve", config],
    logFile,
    ready: port,
  });
  return {
    port,
    requests: async () => (await readFile(logFile, "utf8")).match(/"(?:GET|HEAD) \/v2\//g)?.length ?? 0,
    stop: () => service.stop(),
  };
}
