import { spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { openContainerIo } from "../../src/cri/container-io.js";
import { LogWriter } from "../../src/cri/log-writer.js";

async function folder(t: Test): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "lazuli-cri-io-"));
  t.teardown(() => rm(made, { recursive: true, force: true }));
  return made;
}

const now = (): bigint => 1_700_000_000_000_000_007n;
const TIME = "2023-11-14T22:13:20.000000007Z";
const lines = async (path: string): Promise<string[]> =>
  (await readFile(path, "utf8")).split("\n").map((line) => line.replace(`${TIME} `, ""));
const plain = {
  hasStdin: false,
  isTerminal: false,
  isStdinOnce: false,
  closeStdin: async () => undefined,
  now,
};

t.test(
  "LogWriter cuts lines that are too long, keeps both outputs apart, and marks an end without newline",
  async (t) => {
    const path = join(await folder(t), "pod", "0.log");
    const writer = await LogWriter.open({ path, lineBytesMax: 8, now });
    await writer.write("stdout", Buffer.from("one\ntw"));
    await writer.write("stderr", Buffer.from("bad\n"));
    await writer.write("stdout", Buffer.from("o\n\n12345678\n123456789\nrest"));
    await writer.flush("stdout");
    await writer.flush("stderr");
    await writer.close();
    t.strictSame(await lines(path), [
      "stdout F one",
      "stderr F bad",
      "stdout F two",
      "stdout F ",
      "stdout F 12345678",
      "stdout P 12345678",
      "stdout F 9",
      "stdout P rest",
      "",
    ]);
  },
);

t.test("reopenLog() goes on in a new file after a rotation", async (t) => {
  const path = join(await folder(t), "0.log");
  const writer = await LogWriter.open({ path, lineBytesMax: 100, now });
  await writer.write("stdout", Buffer.from("old\n"));
  await rename(path, `${path}.1`);
  await writer.write("stdout", Buffer.from("old too\n"));
  await writer.reopen();
  await writer.write("stdout", Buffer.from("new\n"));
  await writer.close();
  t.strictSame(await lines(`${path}.1`), ["stdout F old", "stdout F old too", ""]);
  t.strictSame(await lines(path), ["stdout F new", ""]);
});

t.test("what a process prints goes to the log and to all who are attached", async (t) => {
  const place = await folder(t);
  const path = join(place, "0.log");
  const io = await openContainerIo({ id: "c", folder: place, log: { path, lineBytesMax: 100 }, ...plain });
  const heard = ["", ""];
  const attached = heard.map((_, index) =>
    io.attach(
      {
        stdin: undefined,
        stdout: async (bytes) => {
          if (index === 1) throw new Error("gone");
          heard[0] += Buffer.from(bytes).toString();
        },
        stderr: undefined,
        resizes: undefined,
      },
      { signal: new AbortController().signal },
    ),
  );
  const child = spawn("sh", [
    "-c",
    `exec >'${io.paths.stdout}' 2>'${io.paths.stderr}'; echo out; sleep 0.1; echo err >&2; echo more`,
  ]);
  await once(child, "close");
  await io.drained();
  await Promise.all(attached);
  t.equal(heard[0], "out\nmore\n");
  t.strictSame((await lines(path)).sort(), ["", "stderr F err", "stdout F more", "stdout F out"]);
  await io.close();
  await t.rejects(access(io.paths.stdout), { code: "ENOENT" }, "the FIFOs are gone");
});

t.test("input goes to the process, and ends with the first client where it is to", async (t) => {
  const place = await folder(t);
  let closed = 0;
  const io = await openContainerIo({
    id: "c",
    folder: place,
    log: undefined,
    ...plain,
    hasStdin: true,
    isStdinOnce: true,
    closeStdin: async () => {
      closed += 1;
    },
  });
  const child = spawn("sh", [
    "-c",
    `exec <'${io.paths.stdin}' >'${io.paths.stdout}' 2>'${io.paths.stderr}'; echo ready; read a; echo "got $a"`,
  ]);
  const ended = once(child, "close");
  let heard = "";
  async function* input(): AsyncGenerator<Buffer> {
    // A shim has both ends open before anybody is attached.
    while (!heard.includes("ready")) await new Promise((resolve) => setTimeout(resolve, 5));
    yield Buffer.from("hel");
    yield Buffer.from("lo\n");
  }
  const stdout = async (bytes: Uint8Array): Promise<void> => {
    heard += Buffer.from(bytes).toString();
  };
  await io.attach(
    { stdin: input(), stdout, stderr: undefined, resizes: undefined },
    { signal: new AbortController().signal },
  );
  await ended;
  t.equal(heard, "ready\ngot hello\n");
  t.equal(closed, 1);
  await io.close();
});

t.test(
  "pipes are opened again for a process that runs, and an attachment ends with its signal",
  async (t) => {
    const place = await folder(t);
    const path = join(place, "0.log");
    const first = await openContainerIo({
      id: "c",
      folder: place,
      log: { path, lineBytesMax: 100 },
      ...plain,
    });
    // As a shim does, the process holds both ends, so that it survives its reader.
    const child = spawn("sh", [
      "-c",
      `exec 1<>'${first.paths.stdout}' 2<>'${first.paths.stderr}'; echo one; read x; echo two; sleep 0.2`,
    ]);
    while (!(await readFile(path, "utf8")).includes("one"))
      await new Promise((resolve) => setTimeout(resolve, 10));
    const stop = new AbortController();
    const attached = first.attach(
      { stdin: undefined, stdout: async () => undefined, stderr: undefined, resizes: undefined },
      { signal: stop.signal },
    );
    stop.abort();
    await attached;
    const second = await openContainerIo({
      id: "c",
      folder: place,
      paths: first.paths,
      log: { path, lineBytesMax: 100 },
      ...plain,
    });
    child.stdin.end("\n");
    await once(child, "close");
    await second.drained();
    await first.drained();
    t.strictSame((await lines(path)).slice(0, 2), ["stdout F one", "stdout F two"]);
    await second.close();
    await first.close();
  },
);
