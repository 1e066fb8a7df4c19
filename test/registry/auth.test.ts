import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { logChannel } from "../../src/observe/index.js";
import type { CredentialProvider } from "../../src/registry/index.js";
import {
  errorOf,
  fullText,
  makeFolder,
  makeRegistry,
  makeServer,
  readBlob,
  readBytes,
  someBytes,
  type Teardown,
} from "./rig.js";

const bytes = someBytes(20_000);
const size = bytes.length;
const username = "canary-user";
const password = "canary-pass:with colon";
const auth = Buffer.from(`${username}:${password}`).toString("base64");

/** A Docker config.json in a folder of its own. */
async function dockerConfig(t: Teardown, config: unknown): Promise<string> {
  const path = join(await makeFolder(t), "config.json");
  await writeFile(path, typeof config === "string" ? config : JSON.stringify(config));
  return path;
}

/** Puts a `docker-credential-<name>` into the PATH for the time of a test. */
async function makeHelper(t: Teardown, options: { name: string; script: string }): Promise<string> {
  const folder = await makeFolder(t);
  const path = join(folder, `docker-credential-${options.name}`);
  await writeFile(path, `#!/bin/sh\n${options.script}\n`);
  await chmod(path, 0o755);
  const before = process.env.PATH;
  process.env.PATH = `${folder}:${before}`;
  t.teardown(() => {
    process.env.PATH = before;
  });
  return folder;
}

t.test("Registry reads with basic authentication from a Docker config", async (t) => {
  const server = await makeServer(t, { auth: { kind: "basic", username, password } });
  const digest = server.addBlob(bytes);
  const path = await dockerConfig(t, { auths: { [server.host]: { auth } } });
  const registry = makeRegistry(t, { dockerConfigPaths: [path] });
  const read = { registry, host: server.host, digest, size };
  t.same(await readBlob(read), bytes);
  t.same(
    server.log.map((record) => record.status),
    [401, 206],
  );
  t.same(await readBlob(read), bytes);
  t.equal(server.log.length, 3, "the second read authorizes at once");
});

t.test("Registry without a login says so, with a hint", async (t) => {
  const server = await makeServer(t, { auth: { kind: "basic", username, password } });
  const digest = server.addBlob(bytes);
  const error = await errorOf(readBlob({ registry: makeRegistry(t), host: server.host, digest, size }));
  t.equal(error.code, "UNAUTHENTICATED");
  t.equal(error.reason, "unauthorized");
  t.match(error.hint, /Log in/);
  t.equal(server.log.length, 1, "it is not tried again");
});

t.test("Registry gets an anonymous token, once for many reads", async (t) => {
  const server = await makeServer(t, { auth: { kind: "token", expiresInSeconds: 300 } });
  const digest = server.addBlob(bytes);
  const registry = makeRegistry(t);
  const read = { registry, host: server.host, digest, size };
  const all = await Promise.all(Array.from({ length: 10 }, () => readBlob(read)));
  t.ok(all.every((one) => one.equals(bytes)));
  t.equal(server.tokensIssued, 1, "10 reads share one token");
  const tokenRequest = server.log.find((record) => record.server === "token");
  t.match(tokenRequest?.path, "service=test-service");
  t.match(tokenRequest?.path, `scope=${encodeURIComponent("repository:library/thing:pull")}`);
  t.equal(tokenRequest?.authorization, undefined);
});

t.test("Registry gets a token with a password, and with an identity token by POST", async (t) => {
  const identityToken = "canary-refresh-token";
  const server = await makeServer(t, { auth: { kind: "token", username, password, identityToken } });
  const digest = server.addBlob(bytes);
  const byPassword = await dockerConfig(t, { auths: { [`https://${server.host}/v1/`]: { auth } } });
  const first = makeRegistry(t, { dockerConfigPaths: [byPassword] });
  t.same(await readBlob({ registry: first, host: server.host, digest, size }), bytes);
  t.equal(server.log.find((record) => record.server === "token")?.method, "GET");
  const byIdentity = await dockerConfig(t, { auths: { [server.host]: { identitytoken: identityToken } } });
  const second = makeRegistry(t, { dockerConfigPaths: [byIdentity] });
  t.same(await readBlob({ registry: second, host: server.host, digest, size }), bytes);
  const post = server.log.filter((record) => record.server === "token").at(-1);
  t.equal(post?.method, "POST");
  t.match(post?.wire, "grant_type=refresh_token");
  t.notMatch(post?.path, identityToken, "the secret is in the body, not in the address");
});

t.test("Registry with a wrong password fails with the token server's refusal", async (t) => {
  const server = await makeServer(t, { auth: { kind: "token", username, password: "another" } });
  const digest = server.addBlob(bytes);
  const path = await dockerConfig(t, { auths: { [server.host]: { auth } } });
  const registry = makeRegistry(t, { dockerConfigPaths: [path] });
  const error = await errorOf(readBlob({ registry, host: server.host, digest, size }));
  t.equal(error.code, "UNAUTHENTICATED");
  t.equal(error.reason, "token-refused");
  t.notMatch(fullText(error), /canary|Y2FuYXJ5/, "without a secret");
});

t.test("Registry renews an expired token in the middle of its work", async (t) => {
  for (const expiredStatus of [401, 403]) {
    const server = await makeServer(t, { auth: { kind: "token", expiredStatus } });
    const digest = server.addBlob(bytes);
    const registry = makeRegistry(t);
    const reference = `${server.host}/a/b:1`;
    const blob = await registry.openBlob({ reference, digest, size });
    t.same(await readBytes(blob, { offset: 0, length: 100 }), bytes.subarray(0, 100));
    server.revokeTokens();
    t.same(await readBytes(blob, { offset: 100, length: 100 }), bytes.subarray(100, 200));
    t.equal(server.tokensIssued, 2, `a refusal by ${expiredStatus} costs one more token`);
  }
});

t.test("Registry does not send a token that told its end", async (t) => {
  const server = await makeServer(t, { auth: { kind: "token", expiresInSeconds: 0 } });
  const digest = server.addBlob(bytes);
  const registry = makeRegistry(t);
  const read = { registry, host: server.host, digest, size };
  await readBlob(read);
  await readBlob(read);
  t.equal(server.tokensIssued, 2);
  t.equal(server.log.filter((record) => record.status === 401).length, 1, "renewed before it was refused");
});

t.test("Registry asks credential helpers, and asks again when their answer is refused", async (t) => {
  const server = await makeServer(t, { auth: { kind: "basic", username, password } });
  const digest = server.addBlob(bytes);
  const answer = (secret: string): string => JSON.stringify({ Username: username, Secret: secret });
  const folder = await makeHelper(t, {
    name: "lazuli-test",
    script: 'dir=$(dirname "$0"); echo "$1 $(cat)" >> "$dir/asked"; cat "$dir/answer"',
  });
  await writeFile(join(folder, "answer"), answer("old"));
  const path = await dockerConfig(t, { credHelpers: { [server.host]: "lazuli-test" } });
  const registry = makeRegistry(t, { dockerConfigPaths: [path] });
  const read = { registry, host: server.host, digest, size };
  t.equal((await errorOf(readBlob(read))).reason, "unauthorized");
  await writeFile(join(folder, "answer"), answer(password));
  t.same(await readBlob(read), bytes, "a new secret is found without a restart");
  const { readFile } = await import("node:fs/promises");
  const asked = (await readFile(join(folder, "asked"), "utf8")).trim().split("\n");
  t.ok(asked.every((line) => line === `get ${server.host}`));
});

t.test("Registry goes on when a source of credentials fails, and logs which one", async (t) => {
  const server = await makeServer(t, { auth: { kind: "basic", username, password } });
  const digest = server.addBlob(bytes);
  await makeHelper(t, { name: "lazuli-broken", script: "echo canary-secret; exit 1" });
  const broken: CredentialProvider = {
    name: "broken-hook",
    find: async () => {
      throw new Error("canary-secret");
    },
  };
  const paths = [
    await dockerConfig(t, '{"auths": canary-secret'),
    await dockerConfig(t, { credsStore: "lazuli-broken" }),
    await dockerConfig(t, { credsStore: "../../bin/sh" }),
    join(await makeFolder(t), "missing.json"),
    await dockerConfig(t, { auths: { __proto__: 1, [server.host]: { auth } } }),
  ];
  const logged: string[] = [];
  using _listener = logChannel.subscribe((record) => logged.push(JSON.stringify(record)));
  const registry = makeRegistry(t, { credentials: [broken], dockerConfigPaths: paths });
  t.same(await readBlob({ registry, host: server.host, digest, size }), bytes);
  const text = logged.join("\n");
  t.match(text, "broken-hook");
  t.match(text, "docker-config-invalid");
  t.match(text, "credential-helper-failed");
  t.match(text, "credential-helper-invalid");
  t.notMatch(text, /canary|Y2FuYXJ5/, "without a secret");
});

t.test("Registry takes credentials from hooks first, asked with host and repository", async (t) => {
  const server = await makeServer(t, { auth: { kind: "basic", username, password } });
  const digest = server.addBlob(bytes);
  const asked: string[] = [];
  const hook: CredentialProvider = {
    name: "hook",
    find: async ({ host, repository }) => {
      asked.push(`${host} ${repository}`);
      return { kind: "password", username, password };
    },
  };
  const registry = makeRegistry(t, { credentials: [hook] });
  t.same(await readBlob({ registry, host: server.host, digest, size }), bytes);
  t.same(asked, [`${server.host} library/thing`]);
});

t.test("Registry sees a changed Docker config without a restart", async (t) => {
  const server = await makeServer(t, { auth: { kind: "basic", username, password } });
  const digest = server.addBlob(bytes);
  const folder = join(await makeFolder(t), "late");
  const registry = makeRegistry(t, { dockerConfigPaths: [join(folder, "config.json")] });
  const read = { registry, host: server.host, digest, size };
  t.equal((await errorOf(readBlob(read))).reason, "unauthorized");
  await mkdir(folder);
  await writeFile(join(folder, "config.json"), JSON.stringify({ auths: { [server.host]: { auth } } }));
  t.same(await readBlob(read), bytes);
});
