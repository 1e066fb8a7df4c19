import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { freePort } from "../../testing/rig/free-port.js";
import { startService } from "../../testing/rig/service.js";
import { fetchSoci, privateRoot } from "./soci-tool.js";

/** Any name but a loopback one: soci would take its layers by HTTP and its indexes by HTTPS from there. */
const REGISTRY_NAME = "registry.lazuli.test";

export interface SociSnapshotter extends AsyncDisposable {
  /** Of the registry that it pulls from. */
  readonly host: string;
  /** Puts a blob into the repository `sample`. */
  pushBlob(bytes: Uint8Array): Promise<{ digest: Digest; size: number }>;
  pushManifest(tag: string, bytes: Uint8Array): Promise<void>;
  /** Runs a script where its mounts are to be seen. `$SOCI` is its client, `$ROOT` the folder with its snapshots. */
  run(script: string): Promise<CommandResult>;
}

/** Debian's soci-snapshotter-grpc, a containerd that uses it, and a registry, in a mount namespace of their own. */
export async function startSociSnapshotter(): Promise<SociSnapshotter> {
  const bin = await fetchSoci();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-soci-grpc-"));
  const cleanup = new Cleanup();
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  try {
    const { port, certificate } = await startTlsRegistry(folder, cleanup);
    const host = `${REGISTRY_NAME}:${port}`;
    const [socket, root, store, hosts] = ["grpc.sock", "root", "store", "hosts"].map((name) =>
      join(folder, name),
    );
    await mkdir(store!);
    await writeFile(hosts!, `127.0.0.1 localhost ${REGISTRY_NAME}\n`);
    const env = { SSL_CERT_FILE: certificate };
    const own = `mount --bind ${hosts} /etc/hosts; ${privateRoot(store!)}; exec "$@"`;
    const grpc = await startService({
      program: "unshare",
      args: [
        ...["-m", "bash", "-euc", own, "soci", join(bin, "soci-snapshotter-grpc")],
        ...["--address", socket!, "--root", root!, "--config", "/dev/null", "--log-level", "debug"],
      ],
      env,
      logFile: join(folder, "grpc.log"),
      ready: socket!,
    });
    cleanup.add(() => grpc.stop());
    const containerd = await startContainerd({
      folder: join(folder, "containerd"),
      snapshotter: { name: "soci", socket: socket!, root: root! },
    });
    cleanup.add(() => containerd.stop());
    const exports = { SOCI: `${join(bin, "soci")} --address ${containerd.address}`, ROOT: root!, ...env };
    return {
      host,
      pushBlob: async (bytes) => {
        const digest = sha256(bytes);
        const opened = await send({ port, certificate, method: "POST", path: "/v2/sample/blobs/uploads/" });
        const place = new URL(opened.location!, `https://${host}`);
        place.searchParams.set("digest", digest);
        await send({
          port,
          certificate,
          method: "PUT",
          path: `${place.pathname}${place.search}`,
          body: bytes,
        });
        return { digest, size: bytes.length };
      },
      pushManifest: async (tag, bytes) => {
        const type = "application/vnd.oci.image.manifest.v1+json";
        await send({
          port,
          certificate,
          method: "PUT",
          path: `/v2/sample/manifests/${tag}`,
          body: bytes,
          type,
        });
      },
      run: (script) =>
        command("nsenter", ["-t", String(grpc.pid), "-m", "bash", "-euc", script], { env: exports }),
      [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
    };
  } catch (error) {
    await cleanup[Symbol.asyncDispose]();
    throw error;
  }
}

async function startTlsRegistry(
  folder: string,
  cleanup: Cleanup,
): Promise<{ port: number; certificate: string }> {
  const [key, certificate, config] = ["key.pem", "certificate.pem", "registry.yml"].map((name) =>
    join(folder, name),
  );
  await command("openssl", [
    ...["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=${REGISTRY_NAME}`],
    ...["-addext", `subjectAltName=DNS:${REGISTRY_NAME}`, "-keyout", key!, "-out", certificate!],
  ]);
  const port = await freePort();
  const lines = [
    "version: 0.1",
    "log: { level: warn }",
    `storage: { filesystem: { rootdirectory: ${join(folder, "registry")} } }`,
    `http: { addr: "127.0.0.1:${port}", tls: { certificate: ${certificate}, key: ${key} } }`,
  ];
  await writeFile(config!, `${lines.join("\n")}\n`);
  const registry = await startService({
    program: "docker-registry",
    args: ["serve", config!],
    logFile: join(folder, "registry.log"),
    ready: port,
  });
  cleanup.add(() => registry.stop());
  return { port, certificate: certificate! };
}

interface Sending {
  readonly port: number;
  readonly certificate: string;
  readonly method: string;
  readonly path: string;
  readonly body?: Uint8Array;
  readonly type?: string;
}

async function send(sending: Sending): Promise<{ location: string | undefined }> {
  const { port, method, path, body } = sending;
  const ca = await readFile(sending.certificate);
  return await new Promise((resolve, reject) => {
    const headers = {
      "content-type": sending.type ?? "application/octet-stream",
      "content-length": String(body?.length ?? 0),
    };
    const sent = request({ host: "127.0.0.1", port, servername: REGISTRY_NAME, ca, method, path, headers });
    sent.on("error", reject).on("response", (answer) => {
      answer.resume().on("end", () => {
        const status = answer.statusCode ?? 0;
        if (status < 300) resolve({ location: answer.headers.location });
        else reject(new Error(`${method} ${path} answered ${status}`));
      });
    });
    sent.end(body);
  });
}
