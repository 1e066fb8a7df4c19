import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import {
  type Clock,
  type CredentialQuery,
  KubeletCredentials,
  systemClock,
} from "../../src/registry/index.js";
import { matchesImage } from "../../src/registry/match-image.js";
import {
  errorOf,
  fullText,
  makeFolder,
  makeRegistry,
  makeServer,
  readBytes,
  someBytes,
  type Teardown,
} from "./rig.js";

const api = "credentialprovider.kubelet.k8s.io/v1";
const bytes = someBytes(2000);

/** A clock whose hours pass when a test says so. */
class HandClock implements Clock {
  #passedMs = 0;
  pass(milliseconds: number): void {
    this.#passedMs += milliseconds;
  }
  monotonicMs = (): number => systemClock.monotonicMs() + this.#passedMs;
  epochMs = (): number => systemClock.epochMs() + this.#passedMs;
  delay = systemClock.delay;
  random = systemClock.random;
}

interface Rig {
  readonly folder: string;
  readonly configPath: string;
  readonly clock: HandClock;
  readonly provider: KubeletCredentials;
  answer(answer: unknown): Promise<void>;
  /** Requests that the program had, with its arguments and its environment. */
  asked(): Promise<{ request: unknown; words: string; environment: string[] }[]>;
}

const oneProvider = (keys = ""): string => `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
  - name: provider
    apiVersion: ${api}
    matchImages: ["*.example", "127.0.0.1:*", "*.*.*.*"]
    defaultCacheDuration: 12h
${keys}`;

async function rigOf(t: Teardown, config = oneProvider()): Promise<Rig> {
  const folder = await makeFolder(t);
  const bin = join(folder, "bin");
  await mkdir(bin);
  const path = join(bin, "provider");
  const script = `#!/bin/sh
n=$(ls ${folder} | wc -l); cat > ${folder}/asked-$n; echo "$@" > ${folder}/asked-$n.words
tr '\\0' '\\n' < /proc/$$/environ > ${folder}/asked-$n.environment
echo canary-told >&2; cat ${folder}/answer
`;
  await writeFile(path, script);
  await chmod(path, 0o755);
  const configPath = join(folder, "config.yaml");
  await writeFile(configPath, config);
  const clock = new HandClock();
  return {
    folder,
    configPath,
    clock,
    provider: new KubeletCredentials({ configPath, folder: bin, clock }),
    answer: async (answer) =>
      await writeFile(join(folder, "answer"), typeof answer === "string" ? answer : JSON.stringify(answer)),
    asked: async () => {
      const { readdir } = await import("node:fs/promises");
      const names = (await readdir(folder)).filter((name) => /^asked-\d+$/.test(name)).sort();
      return await Promise.all(
        names.map(async (name) => ({
          request: JSON.parse(await readFile(join(folder, name), "utf8")) as unknown,
          words: (await readFile(join(folder, `${name}.words`), "utf8")).trim(),
          environment: (await readFile(join(folder, `${name}.environment`), "utf8")).trim().split("\n"),
        })),
      );
    },
  };
}

const response = (facts: object): object => ({
  kind: "CredentialProviderResponse",
  apiVersion: api,
  ...facts,
});
const login = (password: string) => ({ username: "user", password });
const query = (host: string, repository: string, fresh = false): CredentialQuery => ({
  host,
  repository,
  fresh,
});

t.test("matchesImage() knows the patterns of the kubelet", async (t) => {
  const image = "123.dkr.ecr.eu-west-1.amazonaws.com/team/app";
  for (const [pattern, name, wanted] of [
    ["*.dkr.ecr.*.amazonaws.com", image, true],
    ["*.dkr.ecr.eu-*.amazonaws.com/team", image, true],
    ["*.dkr.ecr.*.amazonaws.com/other", image, false],
    ["*.amazonaws.com", image, false],
    ["*.*.*.*.*.*", image, true],
    ["registry.example", "registry.example/app", true],
    ["registry.example", "registry.example:5000/app", false],
    ["registry.example:5000", "registry.example:5000/app", true],
    ["registry.example:5000", "registry.example/app", false],
    ["https://registry.example/v", "registry.example/v/app", true],
    ["REGISTRY.example", "registry.example/app", true],
    ["reg*y.example", "registry.example/app", true],
    ["reg?.example", "registry.example/app", false],
    ["*", "registry.example/app", false],
    ["", "registry.example/app", false],
    [`${"*a".repeat(300)}.example`, `${"a".repeat(2000)}b.example/app`, false],
  ] as const) {
    t.equal(matchesImage(pattern, name), wanted, `${pattern.slice(0, 50)} and ${name.slice(0, 50)}`);
  }
});

t.test("find() speaks the exec protocol with arguments, variables and nothing else of ours", async (t) => {
  process.env.LAZULI_CANARY = "canary-environment";
  t.teardown(() => delete process.env.LAZULI_CANARY);
  const more = "    args: [get, --quiet]\n    env: [{ name: REGION, value: eu }]\n";
  const rig = await rigOf(t, oneProvider(more));
  const auth = { "a.example": login("of all"), "a.example/team": login("of the team") };
  await rig.answer(response({ cacheKeyType: "Registry", auth }));
  t.match(await rig.provider.find(query("a.example", "team/app")), {
    kind: "password",
    password: "of the team",
  });
  t.match(await rig.provider.find(query("a.example", "other")), { password: "of all" });
  t.equal(
    await rig.provider.find(query("registry.test.example", "x")),
    undefined,
    "no pattern of the config",
  );
  const asked = await rig.asked();
  t.equal(asked.length, 1, "one answer for a registry");
  t.strictSame(asked[0]?.request, {
    kind: "CredentialProviderRequest",
    apiVersion: api,
    image: "a.example/team/app",
  });
  t.equal(asked[0]?.words, "get --quiet");
  t.ok(asked[0]?.environment.includes("REGION=eu"));
  t.notMatch(asked[0]?.environment.join("\n"), /LAZULI|TAP_|npm_/, "a clean environment");
});

t.test("find() keeps answers as they say, and asks again when they are over or were refused", async (t) => {
  const rig = await rigOf(t);
  const hasAsked = async (times: number, why: string): Promise<void> => {
    t.equal((await rig.asked()).length, times, why);
  };
  const auth = { "*.example": login("1") };
  await rig.answer(response({ cacheKeyType: "Image", cacheDuration: "10m", auth }));
  await rig.provider.find(query("a.example", "x"));
  await rig.provider.find(query("a.example", "x"));
  await hasAsked(1, "the same image");
  await rig.provider.find(query("a.example", "y"));
  await hasAsked(2, "another image");
  rig.clock.pass(11 * 60_000);
  await rig.provider.find(query("a.example", "x"));
  await hasAsked(3, "its time is over");
  await rig.provider.find(query("a.example", "x", true));
  await hasAsked(4, "it was refused");
  await rig.answer(response({ cacheKeyType: "Global", auth }));
  await rig.provider.find(query("b.example", "x"));
  rig.clock.pass(11 * 3_600_000);
  await rig.provider.find(query("c.example", "x"));
  await hasAsked(5, "for all, as long as the config says");
  rig.clock.pass(2 * 3_600_000);
  await rig.answer(response({ cacheKeyType: "Image", cacheDuration: "0s", auth }));
  await rig.provider.find(query("d.example", "x"));
  await rig.provider.find(query("d.example", "x"));
  await hasAsked(7, "no time at all");
});

t.test("a lazy read hours later goes on with a new password and a new token", async (t) => {
  const server = await makeServer(t, {
    auth: { kind: "token", username: "user", password: "first", expiresInSeconds: 300 },
  });
  const digest = server.addBlob(bytes);
  const rig = await rigOf(t);
  const told = (password: string): object =>
    response({ cacheKeyType: "Registry", cacheDuration: "6h", auth: { [server.host]: login(password) } });
  await writeFile(rig.configPath, oneProvider().replace('"127.0.0.1:*"', `"${server.host}"`));
  await rig.answer(told("first"));
  const registry = makeRegistry(t, { credentials: [rig.provider], clock: rig.clock });
  const blob = await registry.openBlob({ reference: `${server.host}/a/b:1`, digest, size: bytes.length });
  t.same(await readBytes(blob, { offset: 0, length: 100 }), bytes.subarray(0, 100));
  rig.clock.pass(5 * 3_600_000);
  server.revokeTokens();
  t.same(
    await readBytes(blob, { offset: 100, length: 100 }),
    bytes.subarray(100, 200),
    "a token is got again",
  );
  t.equal(server.tokensIssued, 2);
  t.equal((await rig.asked()).length, 1);
  rig.clock.pass(5 * 3_600_000);
  t.same(await readBytes(blob, { offset: 200, length: 100 }), bytes.subarray(200, 300));
  t.equal((await rig.asked()).length, 2, "the password's time was over: it is fetched at use");
});

t.test("find() refuses bad answers without a word of them", async (t) => {
  const rig = await rigOf(t);
  const entry = { cacheKeyType: "Image", auth: { "a.example": login("canary-secret") } };
  for (const [name, answer] of [
    ["no JSON", '{"canary-secret'],
    ["another kind", { ...entry, kind: "Secret", apiVersion: api }],
    ["another version", { ...entry, kind: "CredentialProviderResponse", apiVersion: "v9" }],
    ["another key type", response({ ...entry, cacheKeyType: "canary-secret" })],
    ["a bad duration", response({ ...entry, cacheDuration: "canary-secret" })],
    ["no password", response({ ...entry, auth: { "a.example": { username: "canary-secret" } } })],
    ["too long", " ".repeat(100_000)],
  ] as const) {
    await rig.answer(answer);
    const error = await errorOf(rig.provider.find(query("a.example", "x")));
    t.equal(error.reason, "credential-helper-failed", name);
    t.notMatch(fullText(error), /canary/, name);
  }
  await rig.answer(response({ ...entry, auth: {} }));
  t.equal(await rig.provider.find(query("a.example", "x")), undefined, "it may know none");
});

t.test("check() refuses a config that is not right, with the place and no value of env", async (t) => {
  const secret = "    env: [{ name: KEY, value: canary-secret }]\n";
  for (const [config, reason, place] of [
    ["{", "kubelet-config-invalid", /YAML/],
    ["kind: Pod", "kubelet-config-invalid", /apiVersion/],
    [oneProvider("    other: canary-secret\n"), "kubelet-config-invalid", /providers\[0\]/],
    [oneProvider(`${secret}    args: [1]\n`), "kubelet-config-invalid", /\.args/],
    [oneProvider(secret).replace("name: provider", "name: ../provider"), "kubelet-config-invalid", /\.name/],
    [oneProvider(secret).replace("12h", "canary-secret"), "kubelet-config-invalid", /defaultCacheDuration/],
    [
      oneProvider(secret).replace(`apiVersion: ${api}`, "apiVersion: v1"),
      "kubelet-config-invalid",
      /apiVersion/,
    ],
    [
      oneProvider("    tokenAttributes: { serviceAccountTokenAudience: x }\n"),
      "kubelet-token-unsupported",
      /service account/,
    ],
  ] as const) {
    const { provider } = await rigOf(t, config);
    const error = await errorOf(provider.check());
    t.equal(error.reason, reason);
    t.match(error.message, place);
    t.notMatch(fullText(error), /canary-secret/);
  }
  const { provider, configPath } = await rigOf(t, oneProvider(secret));
  await provider.check();
  await writeFile(
    configPath,
    JSON.stringify({
      apiVersion: "kubelet.config.k8s.io/v1",
      kind: "CredentialProviderConfig",
      providers: [],
    }),
  );
  t.equal(
    (await errorOf(provider.check())).reason,
    "kubelet-config-invalid",
    "read again when it changes, JSON as well",
  );
  const none = new KubeletCredentials({ configPath: `${configPath}.none`, folder: "/" });
  t.equal((await errorOf(none.check())).reason, "kubelet-config-missing");
});
