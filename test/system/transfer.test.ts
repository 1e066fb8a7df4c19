import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t, { type Test } from "tap";
import { delay } from "../../src/async/index.js";
import { sha256 } from "../../src/bytes/index.js";
import { type RegistryServer, startRegistry } from "../../testing/registry/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { oddRegistry } from "../../testing/rig/lab.js";
import { SmallImages, tarOf } from "../../testing/transfer/small-image.js";
import { type Said, startPair, type TransferPair } from "./transfer-rig.js";

t.setTimeout(240_000);

/** Both say the same: code, errors and, where progress does not make it differ, output. */
async function same(t: Test, pair: TransferPair, words: readonly string[], shows = true): Promise<Said> {
  const [lazuli, containerd] = [await pair.lazuli(...words), await pair.containerd(...words)];
  const seen = ({ code, stdout, stderr }: Said): object => ({
    code,
    stdout: shows ? masked(stdout) : "",
    stderr,
  });
  t.same(seen(lazuli), seen(containerd), words.join(" "));
  return lazuli;
}

/** Two blocks of zeros end a tar. */
async function endsAsTar(path: string): Promise<boolean> {
  const bytes = await readFile(path).catch(() => undefined); // It was not written yet.
  return bytes?.subarray(-1024).every((byte) => byte === 0) === true;
}

function masked(text: string): string {
  return text
    .replace(/Less than a second|\d+ (milli)?seconds?/g, "<age>")
    .replace(/elapsed:.*/g, "")
    .split("\n")
    .sort()
    .join("\n")
    .replace(/[ \t]+/g, " ");
}

t.test("ctr moves images by the daemon as by containerd", async (t) => {
  await using cleanup = new Cleanup();
  const pair = await startPair(cleanup);
  const { host } = await oddRegistry(cleanup);
  const image = `${host}/odd:esgz`;
  const pulled = await same(t, pair, ["images", "pull", image], false);
  t.match(pulled.stdout, `Pulling from OCI Registry (${image})`);
  t.match(pulled.stdout, /saved/);
  const layers = (await pair.lazuli("content", "ls", "-q")).stdout.trim().split("\n");
  t.equal(layers.length, 2, "manifest and config came, no layer");
  await same(t, pair, ["images", "ls"]);
  await same(t, pair, ["images", "check"]);
  await same(t, pair, ["images", "tag", image, `${host}/copy/odd:new`]);
  await same(t, pair, ["images", "tag", "none:1", "other:2"]);
  await same(t, pair, ["images", "push", "none:1"]);
  await same(t, pair, ["images", "pull", `${host}/none:x`]);
  for (const words of [
    ["push", `${host}/copy/odd:new`],
    ["push", `${host}/odd:again`, image],
  ]) {
    const { stdout } = await same(t, pair, ["images", ...words], false);
    t.match(stdout, /Completed push to OCI Registry/);
  }
  const other = await startDockerRegistry({ folder: join(pair.folder, "registry") });
  cleanup.add(() => other.stop());
  const elsewhere = await pair.lazuli("images", "push", `${other.host}/new/odd:1`, image);
  t.match(
    elsewhere,
    { code: 0, stderr: "" },
    "layers that were not downloaded are fetched for another registry",
  );
  const archives = { lazuli: join(pair.folder, "l.tar"), containerd: join(pair.folder, "c.tar") };
  const names = [image, `${host}/copy/odd:new`];
  t.match(await pair.lazuli("images", "export", archives.lazuli, ...names), { code: 0, stderr: "" });
  // containerd's stream may end before its last bytes have come, of which neither side says anything.
  for (let tries = 0; tries < 5 && !(await endsAsTar(archives.containerd)); tries += 1) {
    t.match(await pair.containerd("images", "export", archives.containerd, ...names), {
      code: 0,
      stderr: "",
    });
  }
  const [ours, theirs] = [await readFile(archives.lazuli), await readFile(archives.containerd)];
  t.ok(ours.equals(theirs), "the archive of an image that was not downloaded is containerd's to the byte");
  t.match(await pair.containerd("images", "pull", `${other.host}/new/odd:1`), { code: 0 });
  await pair.containerd("images", "rm", `${other.host}/new/odd:1`);
  await same(t, pair, ["images", "export", join(pair.folder, "x.tar"), "none:1"]);
  await same(t, pair, ["images", "rm", ...names]);
  await same(t, pair, ["images", "import", "--no-unpack", archives.containerd], false);
  await same(t, pair, ["images", "import", "--no-unpack", join(pair.folder, "missing.tar")]);
  await same(t, pair, ["images", "ls"]);
  await same(t, pair, ["content", "active"]);
  await same(t, pair, ["leases", "ls"]);
});

/** Above what the engine leaves to the client. */
const LAYER_BYTES = 1_500_000;
const tar = tarOf({ "a.bin": randomBytes(LAYER_BYTES) });
const blob = gzipSync(tar);
const digest = sha256(blob);

async function published(cleanup: Cleanup, folder: string, server: RegistryServer): Promise<string> {
  cleanup.add(() => server.stop());
  const images = new SmallImages(folder);
  const manifest = await images.image([{ tar, blob }]);
  const { digest: root, mediaType } = manifest;
  await images.name("v1", manifest);
  await server.addLayout({ folder, repository: "app" });
  const bytes = await readFile(join(folder, "blobs", "sha256", root.slice(7)));
  server.addManifest({ repository: "app", tag: "v1", bytes, mediaType });
  return `${server.host}/app:v1`;
}

const quick = '[registry]\nattempts = 1\nstall_timeout = "60s"\n[layer]\npull_whole = false\n';

t.test("ctr pulls with credentials, and without it learns that it needs them", async (t) => {
  await using cleanup = new Cleanup();
  const pair = await startPair(cleanup, "[registry]\nattempts = 1\n");
  for (const [index, auth] of (
    [
      { kind: "basic", username: "user", password: "secret" },
      { kind: "token", username: "user", password: "secret" },
    ] as const
  ).entries()) {
    const image = await published(cleanup, join(pair.folder, `auth-${index}`), await startRegistry({ auth }));
    for (const words of [[], ["--user", "user:wrong"], ["--user", "user:secret"]]) {
      const pull = ["images", "pull", ...words, image];
      const [lazuli, containerd] = [await pair.lazuli(...pull), await pair.containerd(...pull)];
      t.equal(lazuli.code, containerd.code, pull.join(" "));
      const isRefused = words.at(-1) !== "user:secret";
      t.equal(lazuli.code, isRefused ? 1 : 0, pull.join(" "));
      if (isRefused) t.match(lazuli.stderr, /^ctr: failed to resolve image: /);
    }
    const stored = await pair.lazuli("content", "ls", "-q");
    t.notMatch(stored.stdout, digest, "the engine had the layer, with the credential of the client");
    await pair.lazuli("images", "rm", "--sync", image);
  }
});

t.test("a pull that fails or is left tells why and leaves nothing", async (t) => {
  await using cleanup = new Cleanup();
  const pair = await startPair(cleanup, quick);
  const server = await startRegistry();
  const image = await published(cleanup, join(pair.folder, "layout"), server);
  const path = new RegExp(digest);
  const isClean = async (name: string): Promise<void> => {
    await settled(pair);
    for (const words of [
      "images ls -q",
      "leases ls -q",
      "content ls -q",
      "content active -q",
      "snapshots ls",
    ]) {
      const { stdout } = await pair.lazuli(...words.split(" "));
      t.notMatch(stdout, /sha256|app/, `${name}: ${words}`);
    }
  };
  for (const { name, act, told } of [
    { name: "dies in the middle", act: { cutAfter: 100_000 }, told: /127\.0\.0\.1/ },
    { name: "wrong bytes", act: { flipByte: 5000 }, told: /failed commit on ref "layer-sha256:/ },
    { name: "missing blob", act: { status: 404, body: "" }, told: /not found/ },
  ]) {
    server.script({ path, act });
    const { code, stderr } = await pair.lazuli("images", "pull", image);
    t.equal(code, 1, name);
    t.match(stderr, told, name);
    server.clearScript();
    await isClean(name);
  }
  server.script({ path, act: { stallAfter: 1000 } });
  const asked = server.log.length;
  await pair.interrupted(["images", "pull", image], () =>
    server.log.slice(asked).some((one) => path.test(one.path)),
  );
  await pair.lazuli(
    "leases",
    "rm",
    ...(await pair.lazuli("leases", "ls", "-q")).stdout.split("\n").filter(Boolean),
  );
  await isClean("left by its client");
});

/** Collections follow deletions of leases by themselves; the test asks until nothing changes. */
async function settled(pair: TransferPair): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const [content, active] = [
      await pair.lazuli("content", "ls", "-q"),
      await pair.lazuli("content", "active"),
    ];
    if (content.stdout.trim() === "" && !active.stdout.includes("sha256")) return;
    await delay(50);
  }
}
