import type { LookupFunction } from "node:net";
import t, { type Test } from "tap";
import { LazuliError } from "../../src/errors/index.js";
import { Registry } from "../../src/registry/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { createAuthority, type RegistryServer, startRegistry } from "../../testing/registry/index.js";
import {
  errorOf,
  makeCertsDirectory,
  makeRegistry,
  makeServer,
  quick,
  readBlob,
  readBytes,
  someBytes,
} from "../registry/rig.js";
import { answerCases, BLOB_BYTES } from "./registry-answer-cases.js";
import type { HostileCase } from "./registry-case.js";
import { routeCases } from "./registry-route-cases.js";

t.setTimeout(0);

const hostileCases = [...answerCases, ...routeCases];
const bytes = someBytes(BLOB_BYTES);
/** No case may take longer; the client's own limits end each one far earlier. */
const CASE_TIMEOUT_MS = 20_000;
const CASES_AT_ONCE = 8;

/** Every name is this machine. */
const toLoopback: LookupFunction = (_hostname, options, callback) =>
  options.all === true
    ? callback(null, [{ address: "127.0.0.1", family: 4 }])
    : callback(null, "127.0.0.1", 4);

/** Runs a case and gives its outcome in the form of an expectation. */
async function outcomeOf(options: {
  hostile: HostileCase;
  server: RegistryServer;
  registry: Registry;
}): Promise<unknown> {
  const { hostile, server, registry } = options;
  const digest = server.addBlob(bytes);
  for (const rule of hostile.rules) {
    const location = rule.act.headers?.location?.replace("{self}", server.url);
    const headers = location === undefined ? rule.act.headers : { ...rule.act.headers, location };
    server.script(headers === undefined ? rule : { ...rule, act: { ...rule.act, headers } });
  }
  const host = hostile.isPublic === true ? "registry.test" : server.host;
  const range = hostile.range ?? { offset: 1000, length: 50_000 };
  const signal = AbortSignal.timeout(CASE_TIMEOUT_MS);
  try {
    const size = hostile.unknownSize === true ? undefined : bytes.length;
    const blob = await registry.openBlob({ reference: `${host}/a/b:1`, digest, size, signal });
    const got = await readBytes(blob, { ...range, signal });
    const right = bytes.subarray(range.offset, range.offset + range.length);
    return got.equals(right) ? "right bytes" : `wrong bytes, ${got.length} of them`;
  } catch (error) {
    if (error instanceof LazuliError) return { code: error.code, reason: error.reason };
    return error;
  }
}

async function runCase(t: Test, hostile: HostileCase): Promise<void> {
  const server = await startRegistry(hostile.server);
  t.teardown(() => server.stop());
  const certs =
    hostile.isPublic === true
      ? { "registry.test/hosts.toml": `server = "http://registry.test:${server.port}"` }
      : {};
  const hostsDirectories = [await makeCertsDirectory(t, certs)];
  const registry = new Registry({ ...quick, hostsDirectories, lookup: toLoopback });
  t.teardown(() => registry.close());
  t.same(await outcomeOf({ hostile, server, registry }), hostile.expected, hostile.name);
  const requests = server.log.filter((record) => record.server === "registry").length;
  if (hostile.requestsMax !== undefined) {
    t.ok(requests <= hostile.requestsMax, `${hostile.name}: ${requests} requests`);
  }
  await registry.close();
  while (server.connections > 0) await new Promise((resolve) => setImmediate(resolve));
  t.equal(server.connections, 0, `${hostile.name}: no connection is left`);
}

t.test(
  "Registry.openBlob() ends each named misbehaviour with the right bytes or a typed error",
  async (t) => {
    const names = new Set(hostileCases.map((hostile) => hostile.name));
    t.equal(names.size, hostileCases.length, "names are unique");
    const queue = [...hostileCases];
    const worker = async (): Promise<void> => {
      for (let hostile = queue.shift(); hostile !== undefined; hostile = queue.shift())
        await runCase(t, hostile);
    };
    await Promise.all(Array.from({ length: CASES_AT_ONCE }, worker));
    const figures = { cases: hostileCases.length };
    await recordCounts({
      name: "hostile-registry",
      what: "Registries that misbehave towards one range",
      figures,
    });
  },
);

t.test("Registry refuses certificates that are expired, for another name or of nobody", async (t) => {
  const authority = await createAuthority();
  t.teardown(() => authority.close());
  const certificates = {
    expired: await authority.issue({ names: ["127.0.0.1"], days: -1 }),
    "for another name": await authority.issue({ names: ["another.example"] }),
  };
  for (const [name, tls] of Object.entries(certificates)) {
    const server = await makeServer(t, { tls });
    const digest = server.addBlob(bytes);
    const files = {
      [`${server.host}/hosts.toml`]: `server = "${server.url}"\nca = "ca.pem"`,
      [`${server.host}/ca.pem`]: authority.certificate,
    };
    const registry = makeRegistry(t, { hostsDirectories: [await makeCertsDirectory(t, files)] });
    const error = await errorOf(readBlob({ registry, host: server.host, digest, size: bytes.length }));
    t.equal(error.reason, "tls-failed", name);
    t.equal(server.log.length, 0, name);
  }
});

t.test("Registry that speaks TLS to a plain server gives up with a hint", async (t) => {
  const server = await makeServer(t);
  const digest = server.addBlob(bytes);
  const toml = `server = "https://${server.host}"`;
  const hostsDirectories = [await makeCertsDirectory(t, { [`${server.host}/hosts.toml`]: toml })];
  const registry = makeRegistry(t, { hostsDirectories });
  const error = await errorOf(readBlob({ registry, host: server.host, digest, size: bytes.length }));
  t.equal(error.reason, "tls-failed");
  t.match(error.hint, /certificate/);
});

t.test("Registry needs https for the realm of an https registry", async (t) => {
  const authority = await createAuthority();
  t.teardown(() => authority.close());
  const tls = await authority.issue({ names: ["127.0.0.1"] });
  const plain = await makeServer(t);
  const server = await makeServer(t, { tls, auth: { kind: "token", realm: `${plain.url}/token` } });
  const digest = server.addBlob(bytes);
  const files = {
    [`${server.host}/hosts.toml`]: `server = "${server.url}"\nca = "ca.pem"`,
    [`${server.host}/ca.pem`]: authority.certificate,
  };
  const registry = makeRegistry(t, { hostsDirectories: [await makeCertsDirectory(t, files)] });
  const error = await errorOf(readBlob({ registry, host: server.host, digest, size: bytes.length }));
  t.equal(error.reason, "realm-refused");
  t.equal(plain.log.length, 0);
});

t.test("Registry with mirrors outlives one that is down, one that stalls and one that lies", async (t) => {
  const stalling = await makeServer(t);
  const lying = await makeServer(t);
  const origin = await makeServer(t);
  const digest = origin.addBlob(bytes);
  lying.addBlob(bytes);
  stalling.script({ act: { stallAfter: -1 } });
  lying.script({ act: { headers: { "content-range": "bytes 0-0/1" } } });
  const mirrors = ["http://127.0.0.1:1", stalling.url, lying.url].map((url) => `[host."${url}"]\n`).join("");
  const files = { "registry.test/hosts.toml": `server = "${origin.url}"\n${mirrors}` };
  const registry = makeRegistry(t, { hostsDirectories: [await makeCertsDirectory(t, files)] });
  const read = { registry, host: "registry.test", digest, size: bytes.length };
  t.same(await readBlob(read), bytes);
  t.equal(origin.log.length, 1, "without a second round");
});
