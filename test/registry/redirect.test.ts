import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { createAuthority } from "../../testing/registry/index.js";
import {
  errorOf,
  fullText,
  makeCertsDirectory,
  makeFolder,
  makeRegistry,
  makeServer,
  readBlob,
  readBytes,
  someBytes,
} from "./rig.js";

const bytes = someBytes(50_000);
const size = bytes.length;
const username = "canary-user";
const password = "canary-password";
const auth = Buffer.from(`${username}:${password}`).toString("base64");

t.test("Registry follows every kind of redirect and sends no secret along", async (t) => {
  for (const status of [301, 302, 303, 307, 308]) {
    for (const kind of ["basic", "token"] as const) {
      const server = await makeServer(t, { auth: { kind, username, password }, redirect: { status } });
      const digest = server.addBlob(bytes);
      const path = join(await makeFolder(t), "config.json");
      await writeFile(path, JSON.stringify({ auths: { [server.host]: { auth } } }));
      const toml = `server = "${server.url}"\n[header]\nx-secret = "canary-header"\n`;
      const hostsDirectories = [await makeCertsDirectory(t, { [`${server.host}/hosts.toml`]: toml })];
      const registry = makeRegistry(t, { dockerConfigPaths: [path], hostsDirectories });
      t.same(await readBlob({ registry, host: server.host, digest, size }), bytes, `${status} ${kind}`);
      const wires = (name: string) =>
        server.log
          .filter((record) => record.server === name)
          .map((record) => record.wire)
          .join("\n");
      t.match(wires("registry"), "canary-header", "the registry itself gets its header");
      t.match(wires("registry"), /authorization/i, "and the authorization");
      t.ok(wires("storage").length > 0);
      t.notMatch(wires("storage"), /canary|authorization|Y2FuYXJ5/i, "the other host gets neither");
      t.notMatch(wires("token"), /canary-header/);
    }
  }
});

t.test("Registry never answers the challenge of a host that it was redirected to", async (t) => {
  const server = await makeServer(t, { auth: { kind: "basic", username, password }, redirect: {} });
  const digest = server.addBlob(bytes);
  server.script({
    on: "storage",
    act: { status: 401, headers: { "www-authenticate": 'Basic realm="give"' }, body: "" },
  });
  const path = join(await makeFolder(t), "config.json");
  await writeFile(path, JSON.stringify({ auths: { "127.0.0.1": { auth }, [server.host]: { auth } } }));
  const registry = makeRegistry(t, { dockerConfigPaths: [path] });
  const error = await errorOf(readBlob({ registry, host: server.host, digest, size }));
  t.equal(error.reason, "unauthorized");
  const storage = server.log.filter((record) => record.server === "storage");
  t.ok(storage.length > 0);
  t.ok(storage.every((record) => record.authorization === undefined));
  t.notMatch(fullText(error), /canary|signature=/, "no signed address in the error");
});

t.test("Registry remembers where a blob lies, and asks again when the address has expired", async (t) => {
  const server = await makeServer(t, { redirect: {} });
  const digest = server.addBlob(bytes);
  const blob = await makeRegistry(t).openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  const servers = () => server.log.map((record) => record.server).join(" ");
  await readBytes(blob, { offset: 0, length: 10 });
  t.same(await readBytes(blob, { offset: 10, length: 10 }), bytes.subarray(10, 20));
  t.equal(servers(), "registry storage storage", "the second read goes straight to the storage");
  for (const status of [401, 403, 404, 410]) {
    server.script({ on: "storage", times: 1, act: { status, body: "" } });
    t.same(await readBytes(blob, { offset: 20, length: 10 }), bytes.subarray(20, 30), `after a ${status}`);
    t.match(servers(), /storage registry storage$/, "by way of the registry");
    server.clearScript();
  }
});

t.test("Registry reads on when a signed address expires in the middle of a range", async (t) => {
  const server = await makeServer(t, { redirect: {} });
  const digest = server.addBlob(bytes);
  server.script({ on: "storage", skip: 1, times: 1, act: { cutAfter: 20_000 } });
  const blob = await makeRegistry(t).openBlob({ reference: `${server.host}/a/b:1`, digest, size });
  await readBytes(blob, { offset: 0, length: 1 });
  const pieces: Buffer[] = [];
  for await (const piece of blob.readRange({ offset: 0, length: size })) {
    if (pieces.length === 0) server.expireSignatures();
    pieces.push(piece);
  }
  t.same(Buffer.concat(pieces), bytes);
  t.equal(server.log.filter((record) => record.server === "registry").length, 2, "resolved once more");
  t.equal(server.log.filter((record) => record.status === 403).length, 0);
});

t.test("Registry does not follow from https to http unless it may", async (t) => {
  const authority = await createAuthority();
  t.teardown(() => authority.close());
  const tls = await authority.issue({ names: ["127.0.0.1"] });
  const secure = await makeServer(t, { tls });
  const plain = await makeServer(t);
  const digest = plain.addBlob(bytes);
  secure.script({
    path: /blobs/,
    act: { status: 307, headers: { location: `${plain.url}/v2/a/b/blobs/${digest}` }, body: "" },
  });
  const files = {
    [`${secure.host}/hosts.toml`]: `server = "${secure.url}"\nca = "ca.pem"`,
    [`${secure.host}/ca.pem`]: authority.certificate,
  };
  const hostsDirectories = [await makeCertsDirectory(t, files)];
  const read = { host: secure.host, digest, size };
  const error = await errorOf(readBlob({ ...read, registry: makeRegistry(t, { hostsDirectories }) }));
  t.equal(error.reason, "redirect-refused");
  t.equal(plain.log.length, 0);
  const allowing = makeRegistry(t, { hostsDirectories, allowRedirectDowngrade: true });
  t.same(await readBlob({ ...read, registry: allowing }), bytes);
});

t.test("Registry follows a redirect within an installation with a private authority", async (t) => {
  const authority = await createAuthority();
  t.teardown(() => authority.close());
  const tls = await authority.issue({ names: ["127.0.0.1"] });
  const server = await makeServer(t, { tls, redirect: {}, auth: { kind: "token" } });
  const digest = server.addBlob(bytes);
  const files = {
    [`${server.host}/hosts.toml`]: `server = "${server.url}"\nca = "ca.pem"`,
    [`${server.host}/ca.pem`]: authority.certificate,
  };
  const registry = makeRegistry(t, { hostsDirectories: [await makeCertsDirectory(t, files)] });
  t.same(await readBlob({ registry, host: server.host, digest, size }), bytes);
});
