import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { delay } from "../../src/async/index.js";
import { watchRemovedImages } from "../../src/daemon/credential-parts.js";
import { LazuliError } from "../../src/errors/index.js";
import { ImageTable, openMetadata } from "../../src/metadata/index.js";
import { logChannel } from "../../src/observe/index.js";
import { openCredentialVault, SharedCredentials } from "../../src/transfer/index.js";

const secret = { kind: "password", username: "canary-user", password: "canary-password" } as const;
const place = { host: "a.example", repository: "team/app" };

async function folderOf(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-kept-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function reasonOf(promise: Promise<unknown>): Promise<string | undefined> {
  return await promise.then(
    () => undefined,
    (thrown: unknown) => LazuliError.from(thrown).reason,
  );
}

t.test("an encrypted credential survives a restart, and its file tells nothing", async (t) => {
  const folder = join(await folderOf(t), "credentials");
  const first = new SharedCredentials({ vault: await openCredentialVault({ folder, keyPath: undefined }) });
  await first.note("a.example/team/app:1", secret);
  const bytes = await readFile(join(folder, "credentials"));
  t.notMatch(bytes.toString("latin1"), /canary|a\.example|Y2FuYXJ5/);
  for (const name of ["key", "credentials"])
    t.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
  t.equal((await stat(folder)).mode & 0o777, 0o700);
  const second = new SharedCredentials({ vault: await openCredentialVault({ folder, keyPath: undefined }) });
  await second.restore();
  t.same(await second.find(place), secret);
  await second.note("a.example/team/app:1", secret);
  const again = await readFile(join(folder, "credentials"));
  t.notOk(again.subarray(8, 20).equals(bytes.subarray(8, 20)), "a new nonce for each write");
});

t.test("every changed byte of the file, and another key, is refused without a word of it", async (t) => {
  const folder = await folderOf(t);
  const vault = await openCredentialVault({ folder, keyPath: undefined });
  await vault.write([{ repository: "a.example/team/app", credential: secret, untilMs: 0 }]);
  const path = join(folder, "credentials");
  const right = await readFile(path);
  for (let index = 0; index < right.length; index += 1) {
    const wrong = Buffer.from(right);
    wrong[index]! ^= 1;
    await writeFile(path, wrong);
    if ((await reasonOf(vault.read())) !== "credential-vault-unreadable") t.fail(`byte ${index}`);
  }
  for (const length of [0, 7, 35, right.length - 1]) {
    await writeFile(path, right.subarray(0, length));
    t.equal(await reasonOf(vault.read()), "credential-vault-unreadable", `cut at ${length}`);
  }
  await writeFile(path, right);
  await writeFile(join(folder, "key"), "another key of at least 32 bytes.");
  const logged: string[] = [];
  using _listener = logChannel.subscribe((record) => logged.push(JSON.stringify(record)));
  const shared = new SharedCredentials({ vault: await openCredentialVault({ folder, keyPath: undefined }) });
  await shared.restore();
  t.equal(await shared.find(place), undefined, "the daemon goes on without");
  t.match(logged.join("\n"), "credential-vault-unreadable");
  t.notMatch(logged.join("\n"), /canary/);
});

t.test("openCredentialVault() takes a key of systemd, and none that others may read", async (t) => {
  const folder = await folderOf(t);
  const keyPath = join(folder, "lazuli.key");
  await writeFile(keyPath, "k".repeat(40), { mode: 0o400 });
  const vault = await openCredentialVault({ folder: join(folder, "vault"), keyPath });
  await vault.write([{ repository: "a.example/team/app", credential: secret, untilMs: 0 }]);
  t.equal((await vault.read()).length, 1);
  await t.rejects(stat(join(folder, "vault", "key")), { code: "ENOENT" }, "no key of its own");
  await chmod(keyPath, 0o644);
  t.equal(await reasonOf(openCredentialVault({ folder, keyPath })), "credential-key-unfit");
  await writeFile(join(folder, "short"), "too short", { mode: 0o600 });
  t.equal(
    await reasonOf(openCredentialVault({ folder, keyPath: join(folder, "short") })),
    "credential-key-unfit",
  );
});

t.test("find() gives nothing to mirrors, to others, after the end, nor where nothing is kept", async (t) => {
  let now = 1000;
  const shared = new SharedCredentials({ keepForMs: 500, now: () => now });
  await shared.note("a.example/team/app:1", secret);
  t.same(await shared.find(place), secret);
  t.same(
    await shared.find({ ...place, host: "10.0.0.1:5000", registry: "a.example" }),
    secret,
    "its other address",
  );
  t.equal(
    await shared.find({ ...place, host: "m.example", registry: "a.example", isMirror: true }),
    undefined,
  );
  t.equal(await shared.find({ ...place, host: "b.example" }), undefined);
  t.equal(await shared.find({ ...place, repository: "team/other" }), undefined);
  now = 1500;
  t.equal(await shared.find(place), undefined, "over");
  const none = new SharedCredentials({ isKeeping: false });
  await none.note("a.example/team/app:1", secret);
  t.equal(await none.find(place), undefined);
});

t.test("a credential goes with the last image of its repository", async (t) => {
  const folder = await folderOf(t);
  const metadata = await openMetadata({ directory: join(folder, "metadata") });
  t.teardown(() => metadata.close());
  const images = new ImageTable({ metadata, now: () => 1n });
  const digest = `sha256:${"0".repeat(64)}`;
  const target = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest,
    size: 1,
    annotations: {},
  };
  const namespace = "k8s.io";
  const names = ["a.example/team/app:1", "a.example/team/app:2", "a.example/other:1", digest];
  for (const name of names) await images.create({ namespace, name, labels: {}, target });
  const vault = await openCredentialVault({ folder: join(folder, "vault"), keyPath: undefined });
  const before = new SharedCredentials({ vault });
  for (const name of [...names.slice(0, 3), "a.example/gone:1"]) await before.note(name, secret);
  const shared = new SharedCredentials({ vault });
  await shared.restore();
  using _watch = await watchRemovedImages(shared, metadata);
  t.notOk(shared.has("a.example/gone"), "its image went while nobody looked");
  const settled = async (): Promise<void> => {
    await metadata.write(() => undefined);
    await metadata.write(() => undefined);
    await delay(0);
  };
  await images.delete({ namespace, name: "a.example/team/app:1" });
  await settled();
  t.ok(shared.has("a.example/team/app"), "another tag is there");
  await images.delete({ namespace, name: "a.example/team/app:2" });
  await settled();
  t.notOk(shared.has("a.example/team/app"));
  t.ok(shared.has("a.example/other"));
  await shared.note("a.example/other:1", secret);
  t.same(
    (await vault.read()).map(({ repository }) => repository),
    ["a.example/other"],
    "on disk as well",
  );
});
