import { writeFile } from "node:fs/promises";
import type { LookupFunction } from "node:net";
import { join } from "node:path";
import t from "tap";
import { systemClock } from "../../src/registry/clock.js";
import { Hosts } from "../../src/registry/hosts.js";
import { createAuthority } from "../../testing/registry/index.js";
import {
  errorOf,
  fullText,
  makeCertsDirectory,
  makeRegistry,
  makeServer,
  readBlob,
  someBytes,
  type Teardown,
} from "./rig.js";

const bytes = someBytes(20_000);
const size = bytes.length;

async function hostsOf(t: Teardown, files: Readonly<Record<string, string>>): Promise<Hosts> {
  return new Hosts({ directories: [await makeCertsDirectory(t, files)], clock: systemClock });
}

t.test("Hosts.endpoints() without a configuration gives the registry itself", async (t) => {
  const hosts = new Hosts({ directories: ["/nowhere"], clock: systemClock });
  const origins = async (registry: string) => (await hosts.endpoints(registry)).map((one) => one.origin);
  t.same(await origins("registry.example"), ["https://registry.example"]);
  t.same(await origins("registry.example:5000"), ["https://registry.example:5000"]);
  t.same(await origins("localhost:5000"), ["http://localhost:5000"]);
  t.same(await origins("127.0.0.9:5000"), ["http://127.0.0.9:5000"]);
  t.same(await origins("[::1]:5000"), ["http://[::1]:5000"]);
  t.same(await origins("docker.io"), ["https://registry-1.docker.io"]);
});

t.test("Hosts.endpoints() keeps the order of the file and every key", async (t) => {
  const hosts = await hostsOf(t, {
    "docker.io/hosts.toml": `
server = "https://registry-1.docker.io"
capabilities = ["pull"]

[host."https://z-mirror.example"]
  capabilities = ["pull", "resolve"]
  dial_timeout = "1m30s"
  [host."https://z-mirror.example".header]
    X-One = "a"
    x-two = ["b", "c"]

[host."http://a-mirror.example:5000/prefix/"]
  skip_verify = true

[host."third.example/v2/sub"]
  override_path = true
`,
  });
  const endpoints = await hosts.endpoints("docker.io");
  t.same(
    endpoints.map((one) => `${one.origin} ${one.path} ${one.namespace} ${one.capabilities.join()}`),
    [
      "https://z-mirror.example /v2 docker.io pull,resolve",
      "http://a-mirror.example:5000 /prefix/v2 docker.io pull,resolve,push",
      "https://third.example /v2/sub docker.io pull,resolve,push",
      "https://registry-1.docker.io /v2 undefined pull",
    ],
  );
  t.same(endpoints[0]?.headers, { "x-one": ["a"], "x-two": ["b", "c"] });
  t.equal(endpoints[0]?.connectTimeoutMs, 90_000);
  t.same(
    endpoints.map((one) => one.tls.verify),
    [true, false, true, true],
  );
});

t.test("Hosts.endpoints() searches the folders of a host in containerd's order", async (t) => {
  const server = (name: string): string => `server = "https://${name}.example"\n`;
  const hosts = await hostsOf(t, {
    "one.example_5000_/hosts.toml": server("underscores"),
    "one.example:5000/hosts.toml": server("colon"),
    "two.example:5000/hosts.toml": server("colon"),
    "two.example/hosts.toml": server("bare"),
    "three.example/hosts.toml": server("bare"),
    "_default/hosts.toml": server("default"),
  });
  const last = async (registry: string) => (await hosts.endpoints(registry)).at(-1)?.host;
  t.equal(await last("one.example:5000"), "underscores.example");
  t.equal(await last("two.example:5000"), "colon.example");
  t.equal(await last("three.example:5000"), "bare.example");
  t.equal(await last("four.example"), "default.example");
});

t.test("Hosts.endpoints() refuses a file that it can't use, without quoting it", async (t) => {
  const broken = {
    syntax: 'server = "canary-secret',
    capabilities: 'capabilities = ["fly"]',
    header: '[host."https://m.example".header]\n"bad name" = "canary-secret"',
    headerValue: '[host."https://m.example".header]\nx = "canary-secret\\n"',
    skipVerify: 'skip_verify = "canary-secret"',
    dialTimeout: 'dial_timeout = "canary-secret"',
    url: 'server = "https://user:canary-secret@m.example"',
    client: "client = [[1, 2, 3]]",
    missingAuthority: 'ca = "missing.crt"',
    proto: '[__proto__]\nx = "canary-secret"',
  };
  for (const [name, text] of Object.entries(broken)) {
    const hosts = await hostsOf(t, { "r.example/hosts.toml": text });
    const error = await errorOf(hosts.endpoints("r.example"));
    t.equal(error.code, "FAILED_PRECONDITION", name);
    t.equal(error.reason, "hosts-config-invalid", name);
    t.notMatch(fullText(error), /canary/, name);
  }
});

t.test(
  "Hosts.endpoints() goes on with what it knew when a file gets broken, and takes it when it is mended",
  async (t) => {
    const files = { "r.example/hosts.toml": 'server = "https://one.example"' };
    const directory = await makeCertsDirectory(t, files);
    let nowMs = 0;
    const hosts = new Hosts({
      directories: [directory],
      clock: { ...systemClock, monotonicMs: () => nowMs },
    });
    const path = join(directory, "r.example/hosts.toml");
    const server = async () => (await hosts.endpoints("r.example")).at(-1)?.host;
    t.equal(await server(), "one.example");
    await writeFile(path, "server = ");
    nowMs += 60_000;
    t.equal(await server(), "one.example");
    await writeFile(path, 'server = "https://two.example"');
    nowMs += 60_000;
    t.equal(await server(), "two.example");
  },
);

t.test("Hosts.configured() names the registries that have a folder", async (t) => {
  const folders = ["a.example", "b.example_5000_", "c.example:5000", "_default"];
  const hosts = await hostsOf(t, Object.fromEntries(folders.map((folder) => [`${folder}/hosts.toml`, ""])));
  t.same([...(await hosts.configured())].sort(), [
    "_default",
    "a.example",
    "b.example:5000",
    "c.example:5000",
  ]);
  t.same(await new Hosts({ directories: ["/nowhere"], clock: systemClock }).configured(), []);
});

t.test("Registry.rehearse() parses what it can and leaves the rest to the first request", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  const broken = await makeCertsDirectory(t, {
    "a.example/node.cert": "no certificate",
    "a.example/node.key": "no key",
    "b.example/hosts.toml": "not = [toml",
  });
  const registry = makeRegistry(t, { hostsDirectories: [broken] });
  await registry.rehearse();
  t.same(await readBlob({ registry, host: server.host, digest, size }), bytes);
  const error = await errorOf(readBlob({ registry, host: "a.example", digest, size }));
  t.equal(error.reason, "tls-failed");
});

t.test("Registry trusts a private authority in every form of the configuration", async (t) => {
  const authority = await createAuthority();
  t.teardown(() => authority.close());
  const tls = await authority.issue({ names: ["127.0.0.1"] });
  const server = await makeServer(t, { tls });
  const digest = server.addBlob(bytes);
  const folder = server.host;
  const forms: Record<string, Record<string, string>> = {
    text: {
      [`${folder}/hosts.toml`]: `server = "${server.url}"\nca = "ca.pem"`,
      [`${folder}/ca.pem`]: authority.certificate,
    },
    list: {
      [`${folder}/hosts.toml`]: `server = "${server.url}"\nca = ["ca.pem"]`,
      [`${folder}/ca.pem`]: authority.certificate,
    },
    host: {
      [`${folder}/hosts.toml`]: `[host."${server.url}"]\nca = "ca.pem"`,
      [`${folder}/ca.pem`]: authority.certificate,
    },
    skip: { [`${folder}/hosts.toml`]: `server = "${server.url}"\nskip_verify = true` },
  };
  for (const [name, files] of Object.entries(forms)) {
    const registry = makeRegistry(t, { hostsDirectories: [await makeCertsDirectory(t, files)] });
    t.same(await readBlob({ registry, host: server.host, digest, size }), bytes, name);
  }
  const untrusting = await makeCertsDirectory(t, { [`${folder}/hosts.toml`]: `server = "${server.url}"` });
  const registry = makeRegistry(t, { hostsDirectories: [untrusting] });
  const error = await errorOf(readBlob({ registry, host: server.host, digest, size }));
  t.equal(error.reason, "tls-failed");
});

t.test("Registry takes certificates in Docker's form, without a hosts.toml", async (t) => {
  const authority = await createAuthority();
  t.teardown(() => authority.close());
  const tls = await authority.issue({ names: ["registry.test"] });
  const client = await authority.issue({ names: ["client"] });
  const server = await makeServer(t, { tls, clientAuthority: authority.certificate });
  const digest = server.addBlob(bytes);
  const host = `registry.test:${server.port}`;
  const lookup = toLoopback;
  const pair = { [`${host}/me.cert`]: client.certificate, [`${host}/me.key`]: client.key };
  const known = await makeCertsDirectory(t, { [`${host}/ca.crt`]: authority.certificate, ...pair });
  const registry = makeRegistry(t, { hostsDirectories: [known], lookup });
  t.same(await readBlob({ registry, host, digest, size }), bytes);
  const anonymous = await makeCertsDirectory(t, { [`${host}/ca.crt`]: authority.certificate });
  const refused = makeRegistry(t, { hostsDirectories: [anonymous], lookup });
  t.not((await errorOf(readBlob({ registry: refused, host, digest, size }))).reason, undefined);
});

t.test("Registry sends a client certificate from a hosts.toml", async (t) => {
  const authority = await createAuthority();
  t.teardown(() => authority.close());
  const tls = await authority.issue({ names: ["127.0.0.1"] });
  const client = await authority.issue({ names: ["client"] });
  const server = await makeServer(t, { tls, clientAuthority: authority.certificate });
  const digest = server.addBlob(bytes);
  const text = (value: string) => `server = "${server.url}"\nca = "ca.pem"\nclient = ${value}`;
  const files = {
    "ca.pem": authority.certificate,
    "both.pem": client.certificate + client.key,
    "me.cert": client.certificate,
    "me.key": client.key,
  };
  for (const value of ['"both.pem"', '["both.pem"]', '[["me.cert", "me.key"]]', '[["both.pem", ""]]']) {
    const named: Record<string, string> = { [join(server.host, "hosts.toml")]: text(value) };
    for (const [name, content] of Object.entries(files)) named[join(server.host, name)] = content;
    const registry = makeRegistry(t, { hostsDirectories: [await makeCertsDirectory(t, named)] });
    t.same(await readBlob({ registry, host: server.host, digest, size }), bytes, value);
  }
});

t.test("Registry asks mirrors in order with ?ns=, and the registry itself when they fail", async (t) => {
  const first = await makeServer(t);
  const second = await makeServer(t);
  const origin = await makeServer(t);
  const digest = origin.addBlob(bytes);
  second.addBlob(bytes);
  const toml = `server = "${origin.url}"
[host."${first.url}"]
[host."${first.url}".header]
x-mirror = "yes"
[host."${second.url}/deep/v2"]
override_path = true
`;
  const hostsDirectories = [await makeCertsDirectory(t, { "registry.test/hosts.toml": toml })];
  const registry = makeRegistry(t, { hostsDirectories });
  const read = { registry, host: "registry.test", digest, size };
  t.same(await readBlob(read), bytes);
  t.equal(first.log[0]?.path, `/v2/library/thing/blobs/${digest}?ns=registry.test`, "404 falls through");
  t.match(first.log[0]?.wire, /x-mirror\nyes/);
  t.equal(second.log[0]?.path, `/deep/v2/library/thing/blobs/${digest}?ns=registry.test`);
  t.notMatch(second.log[0]?.wire, /x-mirror/, "headers of one host stay there");
  t.equal(origin.log.length, 0);
  second.script({ act: { status: 500 } });
  t.same(await readBlob(read), bytes);
  t.equal(origin.log.length, 1, "5xx falls through");
  t.match(origin.log[0]?.path, /ns=registry.test/, "the server has another name than the reference");
  await first.stop();
  await second.stop();
  t.same(await readBlob(read), bytes, "connect errors fall through");
});

t.test("Registry does not ask a host for what it may not do", async (t) => {
  const mirror = await makeServer(t);
  const origin = await makeServer(t);
  const manifest = { repository: "a/b", tag: "1", bytes: Buffer.from("{}"), mediaType: "application/json" };
  origin.addManifest(manifest);
  mirror.addManifest(manifest);
  const toml = `server = "${origin.url}"\n[host."${mirror.url}"]\ncapabilities = ["pull"]\n`;
  const hostsDirectories = [await makeCertsDirectory(t, { "registry.test/hosts.toml": toml })];
  const registry = makeRegistry(t, { hostsDirectories });
  const byTag = await registry.fetchManifest({ reference: "registry.test/a/b:1" });
  t.equal(mirror.log.length, 0, "a tag needs resolve");
  await registry.fetchManifest({ reference: `registry.test/a/b@${byTag.digest}` });
  t.equal(mirror.log.length, 1, "a digest needs pull");
  const none = await makeCertsDirectory(t, {
    "registry.test/hosts.toml": `server = "${origin.url}"\ncapabilities = ["push"]`,
  });
  const pushOnly = makeRegistry(t, { hostsDirectories: [none] });
  t.equal((await errorOf(pushOnly.fetchManifest({ reference: "registry.test/a/b:1" }))).reason, "no-host");
});

/** Every name is this machine. */
const toLoopback: LookupFunction = (_hostname, options, callback) =>
  options.all === true
    ? callback(null, [{ address: "127.0.0.1", family: 4 }])
    : callback(null, "127.0.0.1", 4);
