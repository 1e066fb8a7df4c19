import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { delay } from "../../src/async/index.js";
import { sha256 } from "../../src/bytes/index.js";
import { encodeProfile, makeArtifact, type Profile } from "../../src/profiles/index.js";
import { parsePrefetch } from "../../src/soci/index.js";
import type { StartTrace } from "../../src/traces/index.js";
import { startRegistry } from "../../testing/registry/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { runInContainer } from "../../testing/rig/container.js";
import { type DockerRegistry, startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { imageCache } from "../../testing/rig/estargz-image.js";
import { publishCopy, readImage } from "../../testing/rig/image-copy.js";
import { type Lab, projectRoot, startLab } from "../../testing/rig/lab.js";
import { logRecords, statusOf } from "../../testing/rig/node-facts.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";
import { type FormatTag, formatRegistry, imageOf } from "./formats-rig.js";

const workload = "sha256sum /data/exact && cat /many/f7";
const { exact } = oddImageDigests();
const printed = `${exact}  /data/exact\nfile 7\n`;
/** Nothing but reads and profiles bring bytes. */
const layerKeys = '[layer]\nbackground_fill = false\nreadahead_max = "4KiB"\nsoci_referrers = true\n';
/** Long enough for a machine that is busy with something else. */
const WAIT_MS = 60_000;

/** A registry of its own with all that formatRegistry() has, since profiles are pushed to it. */
async function ownRegistry(cleanup: Cleanup): Promise<DockerRegistry> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-profiles-registry-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  {
    await using made = new Cleanup();
    await formatRegistry(made);
  }
  await command("cp", ["-a", join(imageCache(projectRoot), "formats-registry", "blobs"), folder]);
  const registry = await startDockerRegistry({ folder });
  cleanup.add(() => registry.stop());
  return registry;
}

async function pull(lab: Lab, image: string): Promise<void> {
  await lab.containerd.ctrRemote(["images", "rpull", "--plain-http", "--snapshotter", "lazuli", image]);
}

async function traces(lab: Lab): Promise<StartTrace[]> {
  const folder = join(lab.snapshotter.root, "traces");
  const names = (await readdir(folder)).filter((name) => name.endsWith(".json")).sort();
  return await Promise.all(names.map(async (name) => JSON.parse(await readFile(join(folder, name), "utf8"))));
}

async function profiles(
  lab: Lab,
): Promise<{ id: string; repository: string; manifest?: string; bytes: number }[]> {
  return JSON.parse((await profile(lab, "ls", "--json")).stdout);
}

async function profile(lab: Lab, ...words: string[]) {
  return await command(join(projectRoot, "bin", "lazuli"), [
    "profile",
    ...words,
    "--config",
    lab.snapshotter.configFile,
  ]);
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const endAt = performance.now() + WAIT_MS;
  while (performance.now() < endAt) {
    const found = await look();
    if (found !== undefined) return found;
    await delay(100);
  }
  throw new Error(`${what} did not come`);
}

async function cachedBytes(lab: Lab): Promise<number> {
  return (await statusOf(lab)).layers.reduce((sum, layer) => sum + layer.cachedBytes, 0);
}

/** The bytes that are here once a replay has begun and nothing came for a moment. */
async function replayed(lab: Lab): Promise<number> {
  let before = -1;
  return await until("The replay", async () => {
    await delay(300);
    const now = await cachedBytes(lab);
    const isQuiet = now > 0 && now === before;
    before = now;
    return isQuiet ? now : undefined;
  });
}

/** The part of what a start touched that was here when the read came. */
function localShare({ touches }: StartTrace): number {
  const bytes = (of: StartTrace["touches"]): number => of.reduce((sum, { length }) => sum + length, 0);
  return bytes(touches.filter(({ waitedMs }) => waitedMs === 0)) / bytes(touches);
}

async function started(lab: Lab, image: string): Promise<StartTrace> {
  const before = (await traces(lab).catch(() => [])).length;
  const { stdout } = await runInContainer(lab, image, workload);
  if (stdout !== printed) throw new Error(`The workload printed ${stdout}`);
  return await until("The trace", async () => (await traces(lab).catch(() => [])).at(before));
}

async function foundBy(lab: Lab): Promise<unknown[]> {
  const records = await logRecords(lab.snapshotter);
  return records.filter(({ message }) => message === "Replays a profile").map(({ by }) => by);
}

t.setTimeout(600_000);

/** The tag that a node learns, and another one of the repository, with no layer in common, that profits. */
const pairs: readonly (readonly [FormatTag, FormatTag])[] = [
  ["esgz", "zstdchunked"],
  ["soci-v2", "esgz"],
];

for (const [learnt, next] of pairs) {
  t.test(`a profile of ${learnt} is learnt, pushed, and used by an empty node as it is`, async (t) => {
    await using cleanup = new Cleanup();
    const registry = await ownRegistry(cleanup);
    const image = imageOf(registry, learnt);
    let manifest: string | undefined;
    {
      await using first = await startLab({ config: layerKeys });
      await pull(first, image);
      const trace = await started(first, image);
      t.ok(localShare(trace) < 0.5, `a start without a profile waits: ${localShare(trace)} is local`);
      const [kept] = await until("The profile", async () => {
        const all = await profiles(first);
        return all.length > 0 ? all : undefined;
      });
      t.ok(kept!.bytes >= 4_194_304, "it has the file that the workload reads");
      manifest = kept!.manifest;
      const pushed = JSON.parse((await profile(first, "push", image, "--json")).stdout);
      t.match(pushed, { subject: manifest, listedBy: "tag" });
      const list = (await profile(first, "export", image, "--as", "prioritize")).stdout;
      t.match(list, /^data\/exact$/m, "the converter would put it in front");
      if (learnt === "soci-v2") await hasSpans(t, first, image);
    }
    await using second = await startLab({ config: layerKeys });
    await pull(second, image);
    const brought = await replayed(second);
    t.ok(brought >= 4_194_304 && brought < 9_000_000, `the profile brings what it says: ${brought}`);
    t.same(await foundBy(second), ["registry"]);
    const trace = await started(second, image);
    t.ok(localShare(trace) >= 0.95, `${localShare(trace)} of the reads is local`);

    await until("The profile", async () => ((await profiles(second)).length > 0 ? true : undefined));
    await pull(second, imageOf(registry, next));
    await until("The replay of the next tag", async () =>
      (await foundBy(second))[1] === undefined ? undefined : true,
    );
    t.same(await foundBy(second), ["registry", "repository"]);
    await replayed(second);
    const other = await started(second, imageOf(registry, next));
    t.ok(localShare(other) >= 0.9, `${localShare(other)} of the reads of ${next} is local, by path and size`);
  });
}

/** The same as SOCI has it: spans of 64 KiB that have the file of 4 MiB. */
async function hasSpans(t: Test, lab: Lab, image: string): Promise<void> {
  const { stdout } = await profile(lab, "export", image, "--as", "soci-prefetch", "--json");
  const layers = JSON.parse(stdout) as { readonly artifact: unknown; readonly spans: number }[];
  t.ok(layers.reduce((sum, { spans }) => sum + spans, 0) >= 64);
  for (const { artifact, spans } of layers) {
    const ranges = parsePrefetch(Buffer.from(JSON.stringify(artifact)));
    t.equal(
      ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0),
      spans,
    );
  }
}

/** The odd image as eStargz at a registry that does as it is told. */
async function scriptedImage(cleanup: Cleanup) {
  await using made = new Cleanup();
  const kept = await formatRegistry(made);
  const copy = await readImage({ host: kept.host, repository: "odd", tag: "esgz" });
  const server = await startRegistry();
  cleanup.add(() => server.stop());
  publishCopy(server, copy, { repository: "odd", tag: "esgz" });
  const repository = `${server.host}/odd`;
  const manifest = sha256(copy.manifest);
  const layers = copy.layers.map(({ digest }) => digest);
  const own: Profile = {
    version: 1,
    repository,
    manifest,
    layers,
    command: undefined,
    starts: 1,
    files: [
      { layer: 0, path: "bin/busybox", size: 1 },
      { layer: 0, path: "data/exact", size: 4_194_304 },
      { layer: 0, path: "data/large", size: 9_500_000 },
    ],
    entries: [{ file: 1, offset: 0, length: 4_194_304, starts: 1, timesMs: [1] }],
  };
  return { server, image: `${repository}:esgz`, manifest, own };
}

t.test("a registry that fails during the replay costs a start nothing", async (t) => {
  await using cleanup = new Cleanup();
  const { server, image, own } = await scriptedImage(cleanup);
  await using lab = await startLab({ config: layerKeys });
  const path = join(lab.folder, "profile.json");
  await writeFile(path, encodeProfile(own));
  await profile(lab, "import", path);
  // Each layer's index comes by a few requests; of those for what lies in a layer, the first ones fail in all ways.
  for (const act of [{ status: 503 }, { cutAfter: 1000 }, { flipByte: 10 }, { cutAfter: -1, reset: true }]) {
    server.script({ path: /blobs/, skip: 14, times: 3, act });
  }
  await pull(lab, image);
  const { stdout } = await runInContainer(lab, image, workload);
  t.equal(stdout, printed, "the start reads what it needs");
  t.same(await foundBy(lab), ["manifest"]);
});

t.test("a hostile profile costs no more than its bytes, and the start is as good as without", async (t) => {
  await using cleanup = new Cleanup();
  const { server, image, manifest, own } = await scriptedImage(cleanup);
  const entries = Array.from({ length: 9000 }, (_, at) => {
    const file = at % 3;
    const length = own.files[file]!.size;
    return { file, offset: 0, length, starts: 1, timesMs: [at] };
  });
  const media = "application/vnd.oci.image.manifest.v1+json";
  const {
    manifest: artifact,
    document,
    listed,
  } = makeArtifact({ ...own, entries }, { mediaType: media, digest: manifest, size: 1 });
  server.addBlob(document.bytes);
  server.addManifest({ repository: "odd", bytes: artifact.bytes, mediaType: media });
  const index = "application/vnd.oci.image.index.v1+json";
  const list = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: index, manifests: [listed] }));
  server.addManifest({ repository: "odd", tag: manifest.replace(":", "-"), bytes: list, mediaType: index });
  await using lab = await startLab({ config: `${layerKeys}[profiles]\nmax_bytes = "5MiB"\n` });
  await pull(lab, image);
  const brought = await replayed(lab);
  t.same(await foundBy(lab), ["registry"]);
  t.ok(brought < 6_000_000, `it may waste little: ${brought} of 18 MB`);
  t.equal((await runInContainer(lab, image, workload)).stdout, printed);

  server.script({ path: /sha256-|referrers/, act: { stallAfter: -1 } });
  await using other = await startLab({ config: layerKeys });
  await pull(other, image);
  t.equal(
    (await runInContainer(other, image, workload)).stdout,
    printed,
    "nobody waits for a registry that stalls",
  );
  t.same(await foundBy(other), []);
});
