import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import t from "tap";
import { runCli } from "../../src/cli/run-cli.js";
import { writeErofs } from "../../src/erofs/index.js";
import { layerPaths } from "../../src/layer/paths.js";
import { encodeProfile, openProfileStore } from "../../src/profiles/index.js";
import { encodeTrace, type StartTrace } from "../../src/traces/index.js";
import { directory, file } from "../erofs/trees.js";
import { digestOf, sampleProfile } from "../profiles/sample.js";

const image = "registry.example/team/app:1";

class Node implements AsyncDisposable {
  constructor(readonly root: string) {}

  static async make(): Promise<Node> {
    return new Node(await mkdtemp(join(tmpdir(), "lazuli-profile-cli-")));
  }

  async run(...words: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const printed = { stdout: "", stderr: "" };
    const code = await runCli({
      arguments: ["profile", ...words, "--root", this.root],
      environment: {},
      stdout: (text) => {
        printed.stdout += text;
      },
      stderr: (text) => {
        printed.stderr += text;
      },
    });
    return { code, ...printed };
  }

  async json(...words: string[]) {
    const { code, stdout, stderr } = await this.run(...words, "--json");
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout);
  }

  /** A layer whose data file has a program of 8 KiB and a library of 12 KiB. */
  async putLayer(): Promise<void> {
    const path = layerPaths(this.root, digestOf("below")).meta;
    const root = directory({
      bin: directory({ app: file(8192, 0) }),
      lib: directory({ "libc.so": file(12_000, 8192) }),
    });
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, writeErofs({ root, blockSize: 4096, dataSize: 20_480 }));
  }

  async putTrace(number: number, touches: readonly (readonly [number, number, number])[]): Promise<void> {
    const trace: StartTrace = {
      version: 1,
      id: `20261121T15000000${number}Z-abcdef`,
      startedAt: "2026-11-21T15:00:00Z",
      reference: image,
      manifest: digestOf("manifest"),
      command: undefined,
      key: "start",
      durationMs: 100,
      ended: "time",
      layers: [
        { digest: digestOf("below"), format: "estargz", blobBytes: 9000, dataBytes: 20_480, units: 5 },
      ],
      touches: touches.map(([unit, length, atMs]) => {
        return { layer: 0, unit, offset: unit * 4096, length, atMs, waitedMs: 0 };
      }),
      requests: [],
    };
    const folder = join(this.root, "traces");
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${trace.id}.json`), encodeTrace(trace));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}

t.test("lazuli profile shows, exports, imports and removes what is kept", async (t) => {
  await using node = await Node.make();
  t.match(await node.run("ls"), { code: 0, stdout: /^ID +REPOSITORY/ });
  t.match(await node.run("show", image), {
    code: 5,
    stderr: /does not exist on this node[\s\S]*lazuli profile ls/,
  });
  const store = await openProfileStore({ folder: join(node.root, "profiles") });
  const id = await store.save(sampleProfile());
  t.match(await node.json("ls"), [
    { id, repository: "registry.example/team/app", starts: 1, files: 2, bytes: 75_536 },
  ]);
  t.equal((await node.json("ls", image)).length, 1);
  const shown = await node.run("show", image);
  t.match(shown.stdout, /3 ms +9\.8 KiB +0 B +1\/1 +yes +usr\/bin\/app\n7 ms +64\.0 KiB +4\.0 KiB/);
  t.equal((await node.json("show", id)).entries.length, 2);
  const pinned = `registry.example/team/app@${digestOf("manifest")}`;
  t.equal((await node.run("show", pinned)).code, 0);
  t.equal((await node.run("show", `registry.example/team/app@${digestOf("other")}`)).code, 5);

  t.equal((await node.run("export", image, "--as", "prioritize")).stdout, "usr/bin/app\nlib/libc.so.6\n");
  const path = join(node.root, "kept.json");
  t.equal((await node.run("export", image, "-o", path)).code, 0);
  t.equal((await readFile(path, "utf8")).trim(), encodeProfile(sampleProfile()).toString());
  t.match(await node.run("export", image, "--as", "toml"), { code: 2, stderr: /want --as json/ });
  t.match(await node.run("export", image, "--as", "soci-prefetch"), {
    stderr: /no layer of the profile is here/,
  });
  t.equal((await node.run("rm", image)).stdout, `${id}\n`);
  t.same(await node.json("ls"), []);
  t.equal((await node.run("import", path)).stdout, `${id}\n`);
  t.equal((await node.run("rm", id, image)).code, 0);
  await writeFile(path, '{"version":1}');
  t.match(await node.run("import", path), { code: 2, stderr: /Cannot read profile/ });
});

t.test("lazuli profile learn makes a profile of the traces that are kept", async (t) => {
  await using node = await Node.make();
  t.match(await node.run("learn", image), { stderr: /no trace tells of its files[\s\S]*lazuli trace ls/ });
  await node.putLayer();
  await node.putTrace(1, [
    [2, 4096, 1],
    [0, 8192, 5],
  ]);
  await node.putTrace(2, [
    [2, 4096, 3],
    [0, 8192, 9],
    [4, 4096, 20],
  ]);
  await node.putTrace(3, [[2, 4096, 3]]);
  t.match(await node.json("learn", image), { profiles: [{ starts: 2, entries: 3 }], warmStarts: 1 });
  const { entries } = await node.json("show", image);
  t.same(
    entries.map(({ path, offset, length, starts, atMs }: Record<string, unknown>) => [
      path,
      offset,
      length,
      starts,
      atMs,
    ]),
    [
      ["lib/libc.so", 0, 4096, 2, 1],
      ["bin/app", 0, 8192, 2, 5],
      ["lib/libc.so", 8192, 3808, 1, 20],
    ],
  );
  const trace = join(node.root, "traces", "20261121T150000001Z-abcdef.json");
  t.match(await node.json("learn", image, "--trace", trace), { profiles: [{ starts: 1, entries: 2 }] });
});

t.test("lazuli profile answers bad usage with what was meant", async (t) => {
  await using node = await Node.make();
  t.match(await node.run("shoe", image), { code: 2, stderr: /want ls, show, learn/ });
  t.match(await node.run("show"), { code: 2, stderr: /want lazuli profile show IMAGE\|ID/ });
  t.match(await node.run("push", "oci:./folder"), { code: 2, stderr: /want an image in a registry/ });
});
