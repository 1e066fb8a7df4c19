import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { errorOf, makeCertsDirectory, makeRegistry, makeServer, someBytes } from "./rig.js";

const mediaType = "application/vnd.oci.image.manifest.v1+json";
const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, layers: [] }));

t.test("fetchManifest() reads by tag and by digest", async (t) => {
  const server = await makeServer(t);
  const digest = server.addManifest({ repository: "a/b", tag: "1", bytes, mediaType });
  server.script({
    path: /manifests\/1$/,
    act: { headers: { "content-type": `${mediaType}; charset=utf-8` } },
  });
  const registry = makeRegistry(t);
  for (const reference of [`${server.host}/a/b:1`, `${server.host}/a/b@${digest}`]) {
    const found = await registry.fetchManifest({ reference });
    t.same(found, { bytes, digest, mediaType }, reference);
  }
  t.match(server.log[0]?.wire, /application\/vnd\.oci\.image\.index\.v1\+json/);
});

t.test("fetchManifest() refuses bytes that are not what was asked or told", async (t) => {
  const server = await makeServer(t);
  const digest = server.addManifest({ repository: "a/b", tag: "1", bytes, mediaType });
  const registry = makeRegistry(t);
  server.script({ path: /manifests/, act: { flipByte: 3 } });
  for (const reference of [`${server.host}/a/b:1`, `${server.host}/a/b@${digest}`]) {
    const error = await errorOf(registry.fetchManifest({ reference }));
    t.equal(error.code, "DATA_LOSS", reference);
    t.equal(error.reason, "digest-mismatch", reference);
  }
});

t.test("fetchManifest() has a limit, also for a body without a length", async (t) => {
  const server = await makeServer(t);
  const large = Buffer.alloc(4 * 1024 * 1024 + 1, " ");
  server.addManifest({ repository: "a/b", tag: "1", bytes: large, mediaType });
  const registry = makeRegistry(t);
  const reference = `${server.host}/a/b:1`;
  t.equal((await errorOf(registry.fetchManifest({ reference }))).reason, "too-large");
  t.equal(server.log.length, 1);
  server.script({ path: /manifests/, act: { contentLength: "none" } });
  t.equal((await errorOf(registry.fetchManifest({ reference }))).reason, "too-large");
});

t.test("fetchManifest() of what is not there is NOT_FOUND", async (t) => {
  const server = await makeServer(t);
  const error = await errorOf(makeRegistry(t).fetchManifest({ reference: `${server.host}/a/b:none` }));
  t.equal(error.code, "NOT_FOUND");
  t.equal(error.reason, "not-found");
});

t.test("fetchBlobBytes() verifies, and goes to the next host when a mirror lies", async (t) => {
  const blob = someBytes(5000);
  const mirror = await makeServer(t);
  const origin = await makeServer(t);
  mirror.addBlob(blob);
  const digest = origin.addBlob(blob);
  mirror.script({ path: /blobs/, act: { flipByte: 100 } });
  const toml = `server = "${origin.url}"\n[host."${mirror.url}"]\n`;
  const hostsDirectories = [await makeCertsDirectory(t, { "registry.test/hosts.toml": toml })];
  const registry = makeRegistry(t, { hostsDirectories });
  const reference = "registry.test/a/b:1";
  t.same(await registry.fetchBlobBytes({ reference, digest, maxBytes: 5000 }), blob);
  t.equal(mirror.log.length, 1);
  t.equal(
    (await errorOf(registry.fetchBlobBytes({ reference, digest, maxBytes: 4999 }))).reason,
    "too-large",
  );
  const missing = sha256(Buffer.from("missing"));
  const error = await errorOf(registry.fetchBlobBytes({ reference, digest: missing, maxBytes: 10 }));
  t.equal(error.code, "NOT_FOUND");
  const invalid = "sha256:../../x" as Digest;
  t.equal(
    (await errorOf(registry.fetchBlobBytes({ reference, digest: invalid, maxBytes: 10 }))).reason,
    "digest-invalid",
  );
});
