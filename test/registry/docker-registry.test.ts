import t from "tap";
import { request } from "undici";
import { sha256 } from "../../src/bytes/index.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { makeFolder, makeRegistry, readBytes, someBytes } from "./rig.js";

t.test("Registry reads ranges from Debian's docker-registry", async (t) => {
  const folder = await makeFolder(t);
  const docker = await startDockerRegistry({ folder });
  t.teardown(() => docker.stop());
  const bytes = someBytes(1_000_000);
  const digest = sha256(bytes);
  const start = await request(`http://${docker.host}/v2/a/b/blobs/uploads/`, { method: "POST" });
  await start.body.dump();
  const upload = new URL(String(start.headers.location), `http://${docker.host}`);
  upload.searchParams.set("digest", digest);
  const put = await request(upload, {
    method: "PUT",
    body: bytes,
    headers: { "content-type": "application/octet-stream" },
  });
  await put.body.dump();
  t.equal(put.statusCode, 201);

  const registry = makeRegistry(t, { stallTimeoutMs: 10_000 });
  const reference = `${docker.host}/a/b:1`;
  const known = await registry.openBlob({ reference, digest, size: bytes.length });
  t.same(await readBytes(known, { offset: 12_345, length: 54_321 }), bytes.subarray(12_345, 12_345 + 54_321));
  const measured = await registry.openBlob({ reference, digest });
  t.equal(measured.size, bytes.length);
  const parts = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      readBytes(measured, { offset: index * 100_000, length: 100_000 }),
    ),
  );
  t.same(Buffer.concat(parts), bytes);
  t.same(await registry.fetchBlobBytes({ reference, digest, maxBytes: 2_000_000 }), bytes);
});
