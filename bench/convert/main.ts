/**
 * Question: how fast are images converted, against Debian's ctr-remote and soci on the same image in the same run?
 * Goal: ratios within one run. Not a goal: absolute numbers, limits for a test.
 *
 *     node dist/bench/convert/main.js [--rounds 3] [--json]
 *
 * Ours reads an OCI layout and writes one; ctr-remote and soci read and write containerd's content store, and
 * containerd's own memory is not counted. ctr-remote compresses eStargz with level 9 by default and ours with 6: both are measured.
 * MB/s are of the layers' tars.
 */
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";
import { machineFacts } from "../../src/bench/machine.js";
import { spreadOf } from "../../src/bench/statistics.js";
import { parseIndex, parseManifest } from "../../src/oci/index.js";
import { fetchSoci, privateRoot } from "../../test/soci/soci-tool.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd } from "../../testing/rig/containerd.js";
import { imageCache } from "../../testing/rig/estargz-image.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { pythonImageArchive, pythonImageName } from "../../testing/rig/python-image.js";
import { type MeasuredRun, measuredRun } from "./measured-run.js";

interface Contestant {
  readonly name: string;
  /** Whose figure this one is compared with. */
  readonly against: string | undefined;
  readonly run: (
    round: number,
  ) => Promise<{ readonly run: MeasuredRun; readonly outBytes: number | undefined }>;
}

interface Place {
  readonly folder: string;
  readonly layout: string;
  readonly containerd: Containerd;
  readonly sociFolder: string;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: "string", default: "3" }, json: { type: "boolean" } },
  });
  await using cleanup = new Cleanup();
  const place = await prepare(cleanup);
  const tarBytes = await tarSize(place.layout);
  const contestants = contestantsOf(place);
  const runs = new Map<string, MeasuredRun[]>();
  const sizes = new Map<string, number | undefined>();
  const load = loadavg()[0]!;
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const { name, run } of contestants) {
      const measured = await run(round);
      runs.set(name, [...(runs.get(name) ?? []), measured.run]);
      sizes.set(name, measured.outBytes);
    }
  }
  const rows = contestants.map(({ name, against }) => {
    const seconds = spreadOf(runs.get(name)!.map((run) => run.seconds));
    const theirs = against === undefined ? undefined : spreadOf(runs.get(against)!.map((run) => run.seconds));
    return {
      name,
      seconds,
      megabytesPerSecond: tarBytes / 1e6 / seconds.median,
      cpuSeconds: spreadOf(runs.get(name)!.map((run) => run.cpuSeconds)).median,
      peakMiB: spreadOf(runs.get(name)!.map((run) => run.peakMiB)).median,
      outBytes: sizes.get(name),
      speedup: theirs === undefined ? undefined : theirs.median / seconds.median,
      against,
    };
  });
  const facts = { ...(await machineFacts()), load: load.toFixed(1), tarBytes: String(tarBytes) };
  if (values.json === true) console.log(JSON.stringify({ facts, rows }, null, 2));
  else print(facts, rows);
}

async function prepare(cleanup: Cleanup): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-convert-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const cache = imageCache(projectRoot);
  await mkdir(cache, { recursive: true });
  const archive = await pythonImageArchive({ folder: cache });
  const layout = join(folder, "layout");
  await mkdir(layout);
  await command("tar", ["-C", layout, "-xf", archive]);
  const containerd = await startContainerd({ folder: join(folder, "containerd") });
  cleanup.add(() => containerd.stop());
  await containerd.ctr(["images", "import", "--no-unpack", archive]);
  const sociFolder = join(folder, "soci");
  await mkdir(sociFolder);
  return { folder, layout, containerd, sociFolder };
}

async function tarSize(layout: string): Promise<number> {
  const blob = async (digest: string): Promise<Buffer> =>
    await readFile(join(layout, "blobs", "sha256", digest.slice(7)));
  const index = parseIndex(await readFile(join(layout, "index.json")));
  let bytes = 0;
  for (const { digest } of parseManifest(await blob(index.manifests[0]!.digest)).layers) {
    bytes += gunzipSync(await blob(digest)).length;
  }
  return bytes;
}

function contestantsOf(place: Place): Contestant[] {
  const estargz = theirs(place, "ctr-remote estargz (9)", ["--estargz"]);
  const zstd = theirs(place, "ctr-remote zstd:chunked (3)", ["--zstdchunked"]);
  const soci = sociCreate(place);
  const index = ["index", "create", `oci:${place.layout}`];
  return [
    estargz,
    ours(place, {
      name: "lazuli estargz (9)",
      against: estargz.name,
      words: ["--to", "estargz", "--level", "9"],
    }),
    ours(place, { name: "lazuli estargz (6)", against: estargz.name, words: ["--to", "estargz"] }),
    ours(place, {
      name: "lazuli estargz (6), shared members",
      against: estargz.name,
      words: ["--to", "estargz", "--min-chunk-size", "50000"],
    }),
    zstd,
    ours(place, { name: "lazuli zstd:chunked (3)", against: zstd.name, words: ["--to", "zstdchunked"] }),
    soci,
    ours(place, { name: "lazuli index create", against: soci.name, words: [], command: index }),
  ];
}

function ours(
  { folder, layout }: Place,
  options: {
    readonly name: string;
    readonly against: string;
    readonly words: readonly string[];
    readonly command?: readonly string[];
  },
): Contestant {
  const { name, against, words, command: start = ["convert", `oci:${layout}`] } = options;
  return {
    name,
    against,
    run: async () => {
      const out = await mkdtemp(join(folder, "out-"));
      const program = join(projectRoot, "bin", "lazuli");
      const args = [
        program,
        ...start,
        `oci:${join(out, "image")}`,
        ...words,
        "--record",
        join(out, "record"),
      ];
      const run = await measuredRun(process.execPath, args, { TMPDIR: folder });
      const outBytes = await layerBytes(join(out, "image"));
      await rm(out, { recursive: true });
      return { run, outBytes };
    },
  };
}

async function layerBytes(layout: string): Promise<number> {
  const index = parseIndex(await readFile(join(layout, "index.json")));
  const { stdout } = await command("du", ["-sb", layout]);
  return index.manifests.length === 0 ? 0 : Number(stdout.split("\t")[0]);
}

function theirs({ containerd }: Place, name: string, words: readonly string[]): Contestant {
  return {
    name,
    against: undefined,
    run: async () => {
      const target = "lazuli.test/converted:latest";
      const args = ["images", "convert", ...words, "--oci", pythonImageName, target];
      const run = await measuredRun("ctr-remote", ["--address", containerd.address, ...args]);
      const { stdout } = await containerd.ctr(["images", "ls", `name==${target}`]);
      const digest = /sha256:[0-9a-f]{64}/.exec(stdout)![0];
      const manifest = parseManifest(Buffer.from((await containerd.ctr(["content", "get", digest])).stdout));
      const outBytes = manifest.layers.reduce((sum, { size }) => sum + size, 0);
      // So that the next round writes its blobs, too.
      await containerd.ctr(["images", "rm", "--sync", target]);
      return { run, outBytes };
    },
  };
}

function sociCreate({ containerd, folder }: Place): Contestant {
  return {
    name: "soci create",
    against: undefined,
    run: async () => {
      const bin = await fetchSoci();
      const root = await mkdtemp(join(folder, "soci-"));
      const script = `${privateRoot(root)}; exec "$@"`;
      const soci = [join(bin, "soci"), "--address", containerd.address, "create", pythonImageName];
      const run = await measuredRun("unshare", ["-m", "bash", "-euc", script, "soci", ...soci]);
      return { run, outBytes: undefined };
    },
  };
}

function print(
  facts: Readonly<Record<string, string>>,
  rows: readonly {
    readonly name: string;
    readonly seconds: { readonly median: number; readonly least: number; readonly greatest: number };
    readonly megabytesPerSecond: number;
    readonly cpuSeconds: number;
    readonly peakMiB: number;
    readonly outBytes: number | undefined;
    readonly speedup: number | undefined;
  }[],
): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name.padEnd(13)}${value}`);
  console.log(
    `\n${"".padEnd(36)}${["seconds", "(least-most)", "MB/s", "cpu s", "peak MiB", "MB out", "x theirs"].map((text) => text.padStart(14)).join("")}`,
  );
  for (const row of rows) {
    const { median, least, greatest } = row.seconds;
    const cells = [
      median.toFixed(2),
      `${least.toFixed(2)}-${greatest.toFixed(2)}`,
      row.megabytesPerSecond.toFixed(1),
      row.cpuSeconds.toFixed(1),
      row.peakMiB.toFixed(0),
      row.outBytes === undefined ? "" : (row.outBytes / 1e6).toFixed(1),
      row.speedup === undefined ? "" : row.speedup.toFixed(2),
    ];
    console.log(`${row.name.padEnd(36)}${cells.map((text) => text.padStart(14)).join("")}`);
  }
}

await main();
