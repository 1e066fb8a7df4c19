import { randomBytes } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import t from "tap";
import { delay } from "../../src/async/index.js";
import { sha256 } from "../../src/bytes/index.js";
import { dataLoss } from "../../src/errors/index.js";
import {
  chainProcessors,
  decryptor,
  externalProcessor,
  needsProcessors,
  type StreamProcessor,
} from "../../src/processors/index.js";
import { command } from "../../testing/rig/command.js";

const folder = await mkdtemp(join(tmpdir(), "lazuli-processors-"));
t.teardown(() => rm(folder, { recursive: true, force: true }));
const TAR = "application/vnd.oci.image.layer.v1.tar";
const ROT = "application/vnd.test.layer.v1+rot";
const digest = sha256(Buffer.from("layer"));

/** A program of these shell lines that takes `accepts`. */
async function script(
  lines: string,
  options: Partial<Parameters<typeof externalProcessor>[0]> = {},
): Promise<StreamProcessor> {
  const path = join(folder, randomBytes(4).toString("hex"));
  await writeFile(path, `#!/bin/bash\n${lines}\n`);
  await chmod(path, 0o755);
  return externalProcessor({
    name: "script",
    accepts: [ROT],
    returns: TAR,
    path,
    args: [],
    env: [],
    ...options,
  });
}

interface RunOptions {
  readonly mediaType?: string;
  readonly bytes?: AsyncIterable<Buffer>;
  readonly signal?: AbortSignal;
}

function run(processor: StreamProcessor, options: RunOptions = {}): AsyncIterable<Buffer> {
  return processor.run({
    mediaType: ROT,
    digest,
    size: 5,
    annotations: { "org.opencontainers.image.enc.pubopts": "x" },
    bytes: pieces([Buffer.from("hello")]),
    signal: new AbortController().signal,
    ...options,
  });
}

async function* pieces(given: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* given;
}

async function all(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const got: Buffer[] = [];
  for await (const piece of bytes) got.push(piece);
  return Buffer.concat(got);
}

async function text(processor: StreamProcessor, options: RunOptions = {}): Promise<string> {
  return (await all(run(processor, options))).toString();
}

t.test("externalProcessor() runs a program from bytes to bytes", async (t) => {
  t.equal(await text(await script("tr a-z b-za")), "ifmmp");
  const big = randomBytes(3_000_001);
  const packed = gzipSync(big);
  const cut = [packed.subarray(0, 1), packed.subarray(1, 1_500_000), packed.subarray(1_500_000)];
  const gunzip = externalProcessor({
    name: "gunzip",
    accepts: [ROT],
    returns: TAR,
    path: "gunzip",
    args: ["-c"],
    env: [],
  });
  t.ok((await all(run(gunzip, { bytes: pieces(cut) }))).equals(big), "found in PATH");
  t.equal(await text(await script("cat >/dev/null")), "", "no output");
  t.equal(await text(await script("cat"), { bytes: pieces([]) }), "", "no input");
});

t.test("externalProcessor() gives a program its media type, its own variables and no other", async (t) => {
  process.env.LAZULI_TEST_SECRET = "hushed";
  t.teardown(() => delete process.env.LAZULI_TEST_SECRET);
  const seen = await text(await script("env; cat >/dev/null", { env: ["OWN=a=b"], args: ["x"] }));
  const names = seen
    .trim()
    .split("\n")
    .map((line) => line.split("=")[0]);
  t.same(names.filter((name) => !["_", "PWD", "SHLVL"].includes(name!)).sort(), [
    "HOME",
    "OWN",
    "PATH",
    "STREAM_PROCESSOR_MEDIATYPE",
  ]);
  t.match(seen, "OWN=a=b\n");
  t.match(seen, `STREAM_PROCESSOR_MEDIATYPE=${ROT}\n`);
  t.equal(await text(await script('echo "$@"; cat >/dev/null', { args: ["a b", "c"] })), "a b c\n");
});

t.test("externalProcessor() lets a program have its pipes and no file of ours", async (t) => {
  const index = fileURLToPath(new URL("../../src/processors/index.js", import.meta.url));
  const main = `
    import { externalProcessor } from ${JSON.stringify(index)};
    const ls = externalProcessor({ name: "ls", accepts: ["a"], returns: "b", path: "ls", args: ["-l", "/proc/self/fd"], env: [] });
    const bytes = (async function* () {})();
    const input = { mediaType: "a", digest: "", size: 0, annotations: {}, bytes, signal: new AbortController().signal };
    for await (const piece of ls.run(input)) process.stdout.write(piece);
  `;
  const line = 'exec 7</etc/passwd 40</etc/passwd; exec "$0" --input-type=module --eval "$1"';
  const { stdout } = await command("bash", ["-c", line, process.execPath, main]);
  t.match(stdout, /40 -> \/dev\/null/);
  t.notMatch(stdout, "passwd");
});

t.test(
  "externalProcessor() gives a program that decrypts the payload of containerd's clients as file 3",
  async (t) => {
    const mediaType = `${TAR}+gzip+encrypted`;
    const processor = await script("cat <&3; cat >/dev/null", { accepts: [mediaType] });
    const any = fromBinary(AnySchema, await all(run(processor, { mediaType })));
    t.equal(any.typeUrl, "io.containerd.ocicrypt.v1.Payload");
    t.same(JSON.parse(Buffer.from(any.value).toString()), {
      DecryptConfig: { Parameters: {} },
      Descriptor: {
        mediaType,
        digest,
        size: 5,
        annotations: { "org.opencontainers.image.enc.pubopts": "x" },
      },
    });
  },
);

t.test("externalProcessor() fails when the program does, with the end of what it said", async (t) => {
  const failing = (lines: string) => script(lines).then((processor) => text(processor));
  await t.rejects(failing("cat; for i in $(seq 3000); do echo line $i >&2; done; exit 3"), {
    code: "FAILED_PRECONDITION",
    reason: "stream-processor-failed",
    message: /ended with exit code 3: [\s\S]*line 3000$/,
  });
  await t.rejects(failing("exit 1"), { message: /exit code 1: it said nothing/ });
  await t.rejects(failing("kill -TERM $$"), { message: /ended with SIGTERM/ });
  const missing = externalProcessor({
    name: "gone",
    accepts: [ROT],
    returns: TAR,
    path: "/nowhere",
    args: [],
    env: [],
  });
  await t.rejects(text(missing), { code: "FAILED_PRECONDITION", reason: "stream-processor-missing" });
  const partial = run(await script("echo partial; cat >/dev/null; sleep 0.1; exit 1"));
  const got: string[] = [];
  await t.rejects(
    async () => {
      for await (const piece of partial) got.push(piece.toString());
    },
    { reason: "stream-processor-failed", code: "FAILED_PRECONDITION" },
  );
  t.same(got, ["partial\n"], "what comes before the error is worth nothing");
});

t.test("externalProcessor() reads its input to the end even where the program does not", async (t) => {
  let given = 0;
  const long = async function* () {
    for (; given < 200; given += 1) yield Buffer.alloc(65_536);
  };
  t.equal(await text(await script("head -c 4 | tr '\\0' x"), { bytes: long() }), "xxxx");
  t.equal(given, 200);
});

t.test("externalProcessor() takes no more than is read of it", async (t) => {
  let given = 0;
  const endless = async function* () {
    for (;;) {
      given += 65_536;
      yield Buffer.alloc(65_536);
    }
  };
  const output = run(await script("exec cat"), { bytes: endless() })[Symbol.asyncIterator]();
  await output.next();
  let before = -1;
  while (before !== given) {
    before = given;
    await delay(100);
  }
  t.ok(given < 4 * 1024 * 1024, `${given} bytes for nobody`);
  await output.return?.();
});

t.test("externalProcessor() throws what its input throws, and ends the program", async (t) => {
  const pidFile = join(folder, "pid");
  const broken = async function* () {
    yield Buffer.from("begin");
    while ((await readFile(pidFile, "utf8").catch(() => "")) === "") await delay(20);
    throw dataLoss("The blob came wrong", { reason: "blob-digest-mismatch" });
  };
  const processor = await script(`echo $$ > ${pidFile}; exec cat`);
  await t.rejects(text(processor, { bytes: broken() }), {
    code: "DATA_LOSS",
    reason: "blob-digest-mismatch",
  });
  await untilGone(Number(await readFile(pidFile, "utf8")));
});

for (const how of ["signal", "stall", "return"] as const) {
  t.test(`externalProcessor() ends the program and its children: ${how}`, async (t) => {
    const pidFile = join(folder, `pids-${how}`);
    const lines = `sleep 1000 & echo $! $$ > ${pidFile}; echo begun; wait`;
    const processor = await script(lines, { stallTimeoutMs: how === "stall" ? 300 : 60_000 });
    const leaving = new AbortController();
    const output = run(processor, { signal: leaving.signal })[Symbol.asyncIterator]();
    t.equal((await output.next()).value?.toString(), "begun\n");
    if (how === "return") await output.return?.();
    else {
      const next = output.next();
      if (how === "signal") leaving.abort(new DOMException("Left", "AbortError"));
      await t.rejects(
        next,
        how === "signal"
          ? { name: "AbortError" }
          : { code: "DEADLINE_EXCEEDED", reason: "stream-processor-stalled" },
      );
    }
    for (const pid of (await readFile(pidFile, "utf8")).trim().split(" ")) await untilGone(Number(pid));
  });
}

async function untilGone(pid: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
    if (state === "" || state.includes(") Z ")) return;
    await delay(50);
  }
  throw new Error(`The process ${pid} is still there`);
}

t.test("chainProcessors() goes on until the media type can be decoded", async (t) => {
  const outer = await script("gunzip -c", { accepts: ["test/outer"], returns: ROT });
  const inner = await script("tr b-za a-z", { returns: `${TAR}+encrypted` });
  const last = await script("tr a-z A-Z", { accepts: [`${TAR}+encrypted`], returns: TAR });
  const processors = [outer, inner, last, decryptor({ keys: [] })];
  const chain = chainProcessors(processors, "test/outer");
  t.equal(chain.mediaType, TAR);
  const input = { digest, size: 5, annotations: {}, signal: new AbortController().signal };
  const bytes = pieces([gzipSync(Buffer.from("ifmmp"))]);
  t.equal((await all(chain.run({ ...input, bytes }))).toString(), "HELLO");
  t.equal(
    chainProcessors(processors, `${TAR}+zstd+encrypted`).mediaType,
    `${TAR}+zstd`,
    "by our own decryption",
  );
  t.equal(chainProcessors([], `${TAR}+gzip`).mediaType, `${TAR}+gzip`, "nothing to do");
  t.ok(
    gunzipSync(
      await all(chainProcessors([], `${TAR}+gzip`).run({ ...input, bytes: pieces([gzipSync("x")]) })),
    ),
  );
});

t.test("chainProcessors() refuses what no processor makes a layer of", async (t) => {
  const missing = { code: "FAILED_PRECONDITION", reason: "stream-processor-missing" };
  const circle = [
    await script("cat", { accepts: ["test/a"], returns: "test/b" }),
    await script("cat", { accepts: ["test/b"], returns: "test/a" }),
    await script("cat", { accepts: ["test/dead"], returns: "test/end" }),
  ];
  t.throws(() => chainProcessors(circle, "test/a"), missing);
  t.throws(() => chainProcessors(circle, "test/dead"), {
    ...missing,
    message: /"test\/end", which was made from "test\/dead"/,
  });
  t.throws(() => chainProcessors([], ""), missing);
  t.equal(needsProcessors(circle, "test/a"), true);
  t.equal(needsProcessors(circle, "test/end"), false);
  t.equal(needsProcessors([await script("cat", { accepts: [TAR] })], TAR), false, "it can be decoded");
});
