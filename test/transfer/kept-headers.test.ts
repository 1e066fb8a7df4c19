import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { LazuliError } from "../../src/errors/index.js";
import { loadBinding } from "../../src/fuse/index.js";
import { readTar, readTarHeaders, type TarEntry } from "../../src/tar/index.js";
import { command } from "../../testing/rig/command.js";

/** What native code keeps of an archive whose bytes come in pieces of such a size. */
async function keptOf(archive: Buffer, pieceBytes: number): Promise<Buffer> {
  const indexer = new (loadBinding().StreamIndexer)({
    codec: "raw",
    dataFd: undefined,
    spanSizeBytes: 4096,
    keepWindows: false,
    dataSizeMax: 64_000_000,
  });
  try {
    for (let at = 0; at < archive.length; at += pieceBytes) {
      await indexer.push(archive.subarray(at, at + pieceBytes));
    }
    return (await indexer.end()).tarHeaders;
  } finally {
    await indexer.close();
  }
}

async function entriesOf(archive: Buffer): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  const read = async ({ offset, length }: { offset: number; length: number }): Promise<Buffer> =>
    archive.subarray(offset, offset + length);
  for await (const entry of readTar({ size: archive.length, read })) entries.push(entry);
  return entries;
}

async function withArchives(body: (archive: (...words: string[]) => Promise<Buffer>) => Promise<void>) {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-headers-"));
  try {
    const tree = join(folder, "tree");
    const deep = join(tree, "d".repeat(90), "e".repeat(90), "f".repeat(90));
    await mkdir(deep, { recursive: true });
    await writeFile(join(deep, "file"), "deep");
    await writeFile(join(tree, "empty"), "");
    await writeFile(join(tree, "block"), Buffer.alloc(512, 7));
    await writeFile(join(tree, "large"), Buffer.alloc(700_001, "large"));
    await symlink("t".repeat(300), join(tree, "link"));
    // Contents that look like headers are none.
    await command("tar", ["-C", tree, "-cf", join(tree, "nested.tar"), "block", "empty"]);
    await command("ln", [join(tree, "block"), join(tree, "other")]);
    await body(async (...words) => {
      const path = join(folder, "archive.tar");
      await command("tar", ["-C", tree, "--sort=name", ...words, "-cf", path, "."]);
      return await readFile(path);
    });
  } finally {
    await rm(folder, { recursive: true });
  }
}

t.test("readTarHeaders() finds in kept headers what readTar() finds in the archive", async (t) => {
  await withArchives(async (archive) => {
    for (const words of [
      ["--format=gnu"],
      ["--format=posix"],
      ["--format=posix", "--pax-option=globexthdr.name=global,comment=all"],
      ["--format=posix", "--pax-option=size:=700001", "--exclude=./[!l]*"],
    ]) {
      const whole = await archive(...words);
      const wanted = await entriesOf(whole).catch((thrown: LazuliError) => thrown);
      for (const pieceBytes of [1 << 20, 333]) {
        const headers = await keptOf(whole, pieceBytes);
        if (wanted instanceof LazuliError) {
          const { code, reason } = wanted;
          t.throws(() => [...readTarHeaders({ size: whole.length, headers })], { code, reason });
        } else {
          t.same([...readTarHeaders({ size: whole.length, headers })], wanted, words.join(" "));
        }
        t.ok(headers.length < whole.length / 5, "contents are not kept");
      }
    }
  });
});

t.test("readTarHeaders() says so when something that it needs was not kept", async (t) => {
  await withArchives(async (archive) => {
    const whole = await archive("--format=posix");
    const headers = await keptOf(whole, 65_536);
    for (const length of [0, 8, 700, headers.length - 600]) {
      t.throws(
        () => [...readTarHeaders({ size: whole.length, headers: headers.subarray(0, length) })],
        { code: "DATA_LOSS", reason: "tar-headers-missing" },
        `${length} bytes`,
      );
    }
    const moved = Buffer.from(headers);
    moved.writeBigUInt64LE(512n, 0);
    t.throws(() => [...readTarHeaders({ size: whole.length, headers: moved })], {
      code: "DATA_LOSS",
      reason: "tar-headers-missing",
    });
  });
});

t.test("StreamIndexer without a file keeps no more than it can follow", async (t) => {
  await withArchives(async (archive) => {
    const whole = await archive("--format=gnu");
    const cut = whole.subarray(0, 1000);
    t.throws(() => [...readTarHeaders({ size: cut.length, headers: headersOf(cut) })], {
      code: "DATA_LOSS",
      reason: "tar-headers-missing",
    });
    const noise = Buffer.alloc(8192, 0xff);
    t.ok((await keptOf(noise, 100)).length <= 16 + 512);
    t.equal((await keptOf(Buffer.alloc(0), 1)).length, 0);
  });
});

/** One record that is shorter than it says. */
function headersOf(bytes: Buffer): Buffer {
  const head = Buffer.alloc(16);
  head.writeBigUInt64LE(512n, 8);
  return Buffer.concat([head, bytes.subarray(0, 100)]);
}
