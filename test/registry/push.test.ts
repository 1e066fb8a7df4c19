import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { Registry } from "../../src/registry/index.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";

const EMPTY = Buffer.from("{}");

function manifestOf(layer: { digest: Digest; size: number }, extra: object = {}): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: sha256(EMPTY),
        size: EMPTY.length,
      },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", ...layer }],
      ...extra,
    }),
  );
}

function blobOf(bytes: Buffer) {
  const open = async function* () {
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  };
  return { digest: sha256(bytes), size: bytes.length, open };
}

t.test("pushBlob() and pushManifest() bring an image to a real registry", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-push-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const server = await startDockerRegistry({ folder });
  t.teardown(() => server.stop());
  const registry = new Registry({});
  t.teardown(() => registry.close());
  const reference = `${server.host}/library/app:v1`;
  const target = await registry.pushTarget(reference);
  const layer = randomBytes(3_000_000);
  t.equal(await target.pushBlob(blobOf(layer)), "pushed");
  t.equal(await target.pushBlob(blobOf(layer)), "present");
  t.equal(await target.pushBlob(blobOf(EMPTY)), "pushed");
  const bytes = manifestOf({ digest: sha256(layer), size: layer.length });
  const manifest = {
    bytes,
    digest: sha256(bytes),
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    tag: "v1",
  };
  await target.pushManifest(manifest);
  t.same((await registry.fetchManifest({ reference })).bytes, bytes);
  const source = await registry.openBlob({ reference, digest: sha256(layer), size: layer.length });
  const pieces: Buffer[] = [];
  for await (const piece of source.readRange({ offset: 0, length: layer.length })) pieces.push(piece);
  t.ok(Buffer.concat(pieces).equals(layer), "the blob is the same");

  const other = await registry.pushTarget(`${server.host}/other/app:v1`);
  t.equal(await other.pushBlob({ ...blobOf(layer), mountFrom: "library/app" }), "mounted");
  const unknown = manifestOf({ digest: sha256(randomBytes(5)), size: 5 });
  await t.rejects(
    other.pushManifest({ ...manifest, bytes: unknown, digest: sha256(unknown) }),
    { message: /status 201, got 400: MANIFEST_BLOB_UNKNOWN|blob unknown/ },
    "the registry's own words are in the message",
  );
  const wrong = { ...blobOf(layer), digest: sha256(Buffer.from("another")) };
  await t.rejects(target.pushBlob(wrong), { message: /DIGEST_INVALID/ });
});

t.test("pushBlob() tries again after an outage, and sends bytes to no other host", async (t) => {
  const bytes = randomBytes(200_000);
  const { digest } = blobOf(bytes);
  const requests: string[] = [];
  let place = "/v2/app/blobs/uploads/1?state=x";
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const hash = createHash("sha256");
    request.on("data", (piece: Buffer) => hash.update(piece));
    request.on("end", () => {
      if (request.method === "HEAD") response.writeHead(404).end();
      else if (request.method === "POST") response.writeHead(202, { location: place }).end();
      else if (requests.filter((one) => one.startsWith("PUT")).length === 1) response.writeHead(503).end();
      else response.writeHead(`sha256:${hash.digest("hex")}` === digest ? 201 : 400).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const registry = new Registry({ retry: { attempts: 3, minWaitMs: 1, maxWaitMs: 2 } });
  t.teardown(() => registry.close());
  const target = await registry.pushTarget(`127.0.0.1:${(server.address() as AddressInfo).port}/app:1`);
  t.equal(await target.pushBlob(blobOf(bytes)), "pushed");
  t.equal(requests.filter((one) => one.startsWith("PUT")).length, 2, "the second try brought it");
  t.match(requests.at(-1), /state=x&digest=sha256/);
  for (const stranger of ["http://127.0.0.2:1/upload", "file:///etc/passwd"]) {
    place = stranger;
    await t.rejects(target.pushBlob(blobOf(bytes)), { code: "FAILED_PRECONDITION", reason: "upload-place" });
  }
});

t.test("referrers() finds what refers to a manifest, by the API or by the tag", async (t) => {
  const subject = sha256(Buffer.from("subject"));
  const entry = (artifactType: string) => ({
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: sha256(Buffer.from(artifactType)),
    size: 7,
    artifactType,
  });
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [entry("application/a"), entry("application/b")],
  });
  let places = new Set([`/v2/app/referrers/${subject}`]);
  const server = createServer((request, response) => {
    if (!places.has(request.url!)) response.writeHead(404).end();
    else response.writeHead(200, { "content-type": "application/vnd.oci.image.index.v1+json" }).end(index);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const registry = new Registry({ retry: { attempts: 1, minWaitMs: 1, maxWaitMs: 2 } });
  t.teardown(() => registry.close());
  const reference = `127.0.0.1:${(server.address() as AddressInfo).port}/app:1`;
  t.equal((await registry.referrers({ reference, subject })).length, 2);
  places = new Set([`/v2/app/manifests/${subject.replace(":", "-")}`]);
  const found = await registry.referrers({ reference, subject, artifactType: "application/b" });
  t.match(found, [{ artifactType: "application/b" }]);
  places = new Set();
  t.same(await registry.referrers({ reference, subject }), []);
});
