import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { runCli } from "../../src/cli/run-cli.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { SmallImages, tarOf } from "../../testing/transfer/small-image.js";

interface Place {
  readonly folder: string;
  readonly images: SmallImages;
  readonly environment: Readonly<Record<string, string>>;
}

async function placeFor(t: Test): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-convert-command-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const environment = { XDG_CACHE_HOME: join(folder, "cache"), TMPDIR: folder, HOME: folder };
  return { folder, images: new SmallImages(join(folder, "in")), environment };
}

async function run(place: Place, ...words: readonly string[]) {
  let stdout = "";
  let stderr = "";
  const code = await runCli({
    arguments: ["convert", ...words],
    environment: place.environment,
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

/** An image whose second layer takes seconds to compress, and the first next to nothing. */
async function slowImage({ images }: Place): Promise<string> {
  const noise = randomBytes(1_000_000).toString("base64");
  const slow = tarOf(
    Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`f${index}`, `${index}${noise}`])),
  );
  return await images.name("slow", await images.image([{ tar: tarOf({ quick: "quick" }) }, { tar: slow }]));
}

/** Starts the program, and ends it with a signal as soon as the quick layer is done. */
async function interrupted(
  place: Place,
  words: readonly string[],
  signal: NodeJS.Signals,
): Promise<{ code: number | null; told: string }> {
  const program = [join(projectRoot, "bin", "lazuli"), "convert", ...words, "--level", "9", "--json"];
  const child = spawn(process.execPath, program, {
    env: { ...process.env, ...place.environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let told = "";
  let isEnding = false;
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    told += text;
    // A second signal would end it at once.
    if (isEnding || !told.includes('"event":"ended"')) return;
    isEnding = true;
    child.kill(signal);
  });
  const [code] = (await once(child, "close")) as [number | null];
  return { code, told };
}

t.test("lazuli convert says what became of each layer, as text and as JSON", async (t) => {
  const place = await placeFor(t);
  const from = await place.images.name("v1", await place.images.image([{ tar: tarOf({ a: "a" }) }]));
  const to = `oci:${join(place.folder, "out")}:v1`;
  const text = await run(place, from, to, "--to", "estargz");
  t.match(text, { code: 0, stdout: /linux\/amd64 +sha256:\w+ +converted/, stderr: /converted/ });
  const json = await run(place, from, to, "--to", "estargz", "--json");
  const { digest, manifests } = JSON.parse(json.stdout);
  t.equal(manifests[0].layers[0].action, "reused", "it is at the target");
  t.match(text.stdout, digest);
  for (const line of json.stderr.trim().split("\n")) t.ok(JSON.parse(line).event);
});

t.test("lazuli convert answers bad usage with 2", async (t) => {
  const place = await placeFor(t);
  const to = `oci:${join(place.folder, "out")}`;
  for (const words of [
    [],
    ["--to", "tar"],
    ["--to", "estargz", "--level", "0"],
    ["--to", "estargz", "--level", "x"],
    ["--to", "estargz", "--chunk-size", "1"],
    ["--to", "zstdchunked", "--external-toc"],
    ["--to", "estargz", "--dialect", "containers"],
    ["--to", "zstdchunked", "--dialect", "other"],
    ["--to", "estargz", "--platform", "linux"],
    ["--to", "estargz", "--platform", "linux/amd64", "--all-platforms"],
  ]) {
    t.match(
      await run(place, "oci:/nowhere", to, ...words),
      { code: 2, stdout: "", stderr: /hint/ },
      words.join(" "),
    );
  }
  t.match(await run(place, "oci:/nowhere", to, "--to", "estargz"), {
    code: 5,
    stderr: /layout-missing|no index/,
  });
});

t.test("lazuli convert puts in front what a list names", async (t) => {
  const place = await placeFor(t);
  const tar = tarOf({ first: "1", second: "2", third: "3" });
  const from = await place.images.name("v1", await place.images.image([{ tar }]));
  const list = join(place.folder, "list");
  const order = async (text: string): Promise<string[]> => {
    await writeFile(list, text);
    const to = `oci:${join(place.folder, "out")}:v1`;
    const { stdout } = await run(place, from, to, "--to", "estargz", "--prioritize", list, "--json");
    const layer = JSON.parse(stdout).manifests[0].layers[0].target.slice(7);
    const told = await command("tar", ["-tzf", join(place.folder, "out/blobs/sha256", layer)]);
    return told.stdout.trim().split("\n");
  };
  const end = "stargz.index.json";
  t.same(await order("/third\n./second\n"), ["third", "second", ".prefetch.landmark", "first", end]);
  t.same(await order('{"path":"second","layerIndex":0}\n'), [
    "second",
    ".prefetch.landmark",
    "first",
    "third",
    end,
  ]);
  t.same(await order("nowhere\n"), [".no.prefetch.landmark", "first", "second", "third", end]);
});

t.test(
  "lazuli convert leaves no name and no files behind when it is interrupted, and goes on later",
  async (t) => {
    const place = await placeFor(t);
    const from = await slowImage(place);
    const out = join(place.folder, "out");
    const { code, told } = await interrupted(place, [from, `oci:${out}:v1`, "--to", "estargz"], "SIGINT");
    t.equal(code, 130);
    t.match(told, /CANCELED/);
    await t.rejects(readFile(join(out, "index.json")), { code: "ENOENT" });
    const left = (await readdir(place.folder, { recursive: true })).filter((name) =>
      /\.new-|\.lazuli-/.test(name),
    );
    t.same(left, []);
    const json = await run(place, from, `oci:${out}:v1`, "--to", "estargz", "--level", "9", "--json");
    t.equal(json.code, 0);
    const actions = JSON.parse(json.stdout).manifests[0].layers.map(
      (layer: { action: string }) => layer.action,
    );
    t.same(actions, ["reused", "converted"]);
  },
);

t.test("lazuli convert goes on after it was killed, between registries", async (t) => {
  await using cleanup = new Cleanup();
  const place = await placeFor(t);
  const registry = await startDockerRegistry({ folder: join(place.folder, "registry") });
  cleanup.add(() => registry.stop());
  const local = await slowImage(place);
  const name = (repository: string): string => `${registry.host}/${repository}:v1`;
  await command("skopeo", ["copy", "-q", "--dest-tls-verify=false", local, `docker://${name("from")}`]);
  const words = [name("from"), name("to"), "--to", "zstdchunked"];
  const killed = await interrupted(place, words, "SIGKILL");
  t.equal(killed.code, null);
  const tags = await fetch(`http://${registry.host}/v2/to/tags/list`);
  t.not(((await tags.json()) as { tags?: string[] }).tags?.includes("v1"), true, "it has no name yet");
  const json = await run(place, ...words, "--level", "9", "--json");
  t.match(json, { code: 0 }, json.stderr);
  const report = JSON.parse(json.stdout);
  const actions = report.manifests[0].layers.map((layer: { action: string }) => layer.action);
  t.same(actions, ["reused", "converted"]);
  const told = await command("skopeo", ["inspect", "--tls-verify=false", "--raw", `docker://${name("to")}`]);
  t.match(told.stdout, report.manifests[0].layers[1].target);
  const archive = `oci-archive:${join(place.folder, "copy.tar")}:v1`;
  await command("skopeo", ["copy", "-q", "--src-tls-verify=false", `docker://${name("to")}`, archive]);
});
