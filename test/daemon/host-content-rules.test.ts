import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import {
  type ContentReader,
  hostContent,
  type NamedImage,
  type StoredManifest,
} from "../../src/daemon/host-content.js";
import { notFound } from "../../src/errors/index.js";
import { type LogRecord, logChannel } from "../../src/observe/index.js";

const SOURCE = "containerd.io/distribution.source.";
const HOST = "registry.test";

interface FakeImage {
  readonly layers: readonly string[];
  readonly diffIds: readonly string[];
  readonly repository?: string;
  readonly host?: string;
  readonly config?: string;
}

/** A content store in memory. `calls` counts listings and reads. */
class FakeContent implements ContentReader {
  readonly blobs = new Map<string, Buffer>();
  readonly stored: StoredManifest[] = [];
  named: readonly NamedImage[] = [];
  readonly calls = { manifests: 0, read: 0 };

  add(image: FakeImage): Digest {
    const config = this.#put(
      image.config ?? JSON.stringify({ rootfs: { type: "layers", diff_ids: image.diffIds } }),
    );
    const digest = this.#put(
      JSON.stringify({
        schemaVersion: 2,
        config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: config, size: 1 },
        layers: image.layers.map((layer) => ({
          mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
          digest: layer,
          size: 1,
        })),
      }),
    );
    const labels =
      image.repository === undefined ? {} : { [`${SOURCE}${image.host ?? HOST}`]: image.repository };
    this.stored.unshift({ digest, createdAtNanoseconds: BigInt(this.stored.length), labels });
    return digest;
  }

  #put(text: string): Digest {
    const bytes = Buffer.from(text);
    this.blobs.set(sha256(bytes), bytes);
    return sha256(bytes);
  }

  async has({ digest }: { readonly digest: string }): Promise<boolean> {
    return this.blobs.has(digest);
  }

  async manifests(): Promise<readonly StoredManifest[]> {
    this.calls.manifests += 1;
    return this.stored;
  }

  async read(request: { digest: Digest }): Promise<Buffer> {
    this.calls.read += 1;
    const bytes = this.blobs.get(request.digest);
    if (bytes === undefined) throw notFound("no such blob");
    return bytes;
  }

  async images(): Promise<readonly NamedImage[]> {
    return this.named;
  }
}

const diffId = sha256(Buffer.from("diff"));
const blob = sha256(Buffer.from("blob"));
const other = sha256(Buffer.from("other blob"));
const query = { namespace: "default", chainId: diffId };

t.test("findLayer() learns an image once and answers its other layers from memory", async (t) => {
  const reader = new FakeContent();
  const above = sha256(Buffer.from("above"));
  const digest = reader.add({ layers: [blob, other], diffIds: [diffId, above], repository: "a/b" });
  const host = hostContent({ reader, timeoutMs: 1000, hostsFolders: [] });
  const found = await host.findLayer(query);
  t.match(found, { reference: `registry.test/a/b@${digest}`, layer: { digest: blob } });
  const chainId = sha256(Buffer.from(`${diffId} ${above}`));
  t.match(await host.findLayer({ ...query, chainId }), { layer: { digest: other } });
  t.strictSame(reader.calls, { manifests: 1, read: 2 });
});

t.test("findLayer() remembers the repositories of a bounded number of namespaces", async (t) => {
  const reader = new FakeContent();
  reader.add({ layers: [blob], diffIds: [diffId], repository: "a/b" });
  const host = hostContent({ reader, timeoutMs: 1000, hostsFolders: [] });
  const others = Array.from({ length: 64 }, (_, index) => `namespace-${index}`);
  for (const namespace of ["default", ...others]) await host.findLayer({ ...query, namespace });
  t.equal(reader.calls.manifests, 65);
  t.match(await host.findLayer({ ...query, namespace: others.at(-1)! }), { layer: { digest: blob } });
  t.equal(reader.calls.manifests, 65, "the last ones are remembered");
  t.match(await host.findLayer(query), { layer: { digest: blob } });
  t.equal(reader.calls.manifests, 66, "the first one is read again");
});

t.test("findLayer() takes the repository from any image that has the same layer", async (t) => {
  const reader = new FakeContent();
  const first = reader.add({ layers: [blob], diffIds: [diffId], repository: "a/b" });
  reader.add({ layers: [blob, other], diffIds: [diffId, sha256(Buffer.from("x"))] });
  const host = hostContent({ reader, timeoutMs: 1000, hostsFolders: [] });
  t.match(await host.findLayer(query), { manifestDigest: first });
});

t.test("findLayer() finds nothing where two images claim a chain id for different blobs", async (t) => {
  const reader = new FakeContent();
  reader.add({ layers: [blob], diffIds: [diffId], repository: "a/b" });
  reader.add({ layers: [other], diffIds: [diffId], repository: "evil/b" });
  const records: LogRecord[] = [];
  using _log = logChannel.subscribe((record) => records.push(record));
  const host = hostContent({ reader, timeoutMs: 1000, hostsFolders: [] });
  t.equal(await host.findLayer(query), undefined);
  t.match(records.at(-1), { level: "warn", reason: "host-content-ambiguous" });
});

t.test("findLayer() passes over what is no image, and does not read it again", async (t) => {
  const reader = new FakeContent();
  reader.add({ layers: [blob], diffIds: [diffId, diffId], repository: "too/many" });
  reader.add({ layers: [blob], diffIds: [], config: "{", repository: "no/json" });
  const host = hostContent({ reader, timeoutMs: 1000, hostsFolders: [] });
  t.equal(await host.findLayer(query), undefined);
  t.equal(await host.findLayer(query), undefined);
  t.equal(reader.calls.read, 4);
});

t.test("findLayer() looks again for a config and a repository that came later", async (t) => {
  const reader = new FakeContent();
  reader.add({ layers: [blob], diffIds: [diffId] });
  const config = [...reader.blobs].find(([, bytes]) => bytes.includes("rootfs"))!;
  reader.blobs.delete(config[0]);
  const host = hostContent({ reader, timeoutMs: 1000, hostsFolders: [] });
  t.equal(await host.findLayer(query), undefined);
  reader.blobs.set(...config);
  t.equal(await host.findLayer(query), undefined);
  reader.stored[0] = { ...reader.stored[0]!, labels: { [`${SOURCE}${HOST}`]: "a/b" } };
  t.match(await host.findLayer(query), { layer: { digest: blob } });
});

t.test(
  "findLayer() takes the port from another image of the repository, else from a hosts.toml",
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "lazuli-certs-"));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const reader = new FakeContent();
    const digest = reader.add({ layers: [blob], diffIds: [diffId], repository: "a/b" });
    const host = hostContent({ reader, timeoutMs: 1000, hostsFolders: [folder, join(folder, "missing")] });
    reader.named = [{ name: "registry.test:5000/a/b:old", isSame: false }];
    t.match(await host.findLayer(query), { reference: `registry.test:5000/a/b@${digest}` });
    reader.named = [...reader.named, { name: "registry.test:6000/a/b:old", isSame: false }];
    t.equal(await host.findLayer(query), undefined, "two ports: nobody knows which");
    reader.named = [...reader.named, { name: "registry.test:6000/a/b:new", isSame: true }];
    t.match(await host.findLayer(query), { reference: "registry.test:6000/a/b:new" });
    reader.named = [];
    t.match(await host.findLayer(query), { reference: `registry.test/a/b@${digest}` });
    await mkdir(join(folder, "registry.test_7000_"));
    t.match(await host.findLayer(query), { reference: `registry.test:7000/a/b@${digest}` });
  },
);

t.test("findLayer() leaves a registry on this machine alone whose port is not known", async (t) => {
  for (const host of ["127.0.0.1", "localhost", "::1"]) {
    const reader = new FakeContent();
    reader.add({ layers: [blob], diffIds: [diffId], repository: "a/b", host });
    t.equal(
      await hostContent({ reader, timeoutMs: 1000, hostsFolders: [] }).findLayer(query),
      undefined,
      host,
    );
  }
});

t.test("findLayer() gives up after its time, and at once when its caller does", async (t) => {
  const reader = new FakeContent();
  // The deadline's own timer does not keep the process alive.
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  reader.manifests = async (request?: { signal: AbortSignal }) =>
    await new Promise((_resolve, reject) => {
      request!.signal.addEventListener("abort", () => reject(request!.signal.reason), { once: true });
    });
  const host = hostContent({ reader, timeoutMs: 20, hostsFolders: [] });
  const records: LogRecord[] = [];
  using _log = logChannel.subscribe((record) => records.push(record));
  t.equal(await host.findLayer(query), undefined);
  t.match(records.at(-1), { reason: "host-content-unavailable", code: "DEADLINE_EXCEEDED" });
  const caller = new AbortController();
  const looking = host.findLayer({ ...query, signal: caller.signal });
  caller.abort(new Error("the caller left"));
  await t.rejects(looking, { message: "the caller left" });
});
