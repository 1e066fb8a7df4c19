import { deadlineExceeded, failedPrecondition } from "../errors/index.js";
import type { ProcessorInput, StreamProcessor } from "./contract.js";
import { inheritedFiles } from "./inherited-files.js";
import { STALL_TIMEOUT_MS } from "./limits.js";
import { decryptionPayload } from "./payload.js";
import { Program, type ProgramEnd } from "./program.js";
import { StallWatch } from "./stall-watch.js";

/** As containerd's `[stream_processors.<name>]`. */
export interface ExternalProcessorOptions {
  readonly name: string;
  /** Media types that it takes. */
  readonly accepts: readonly string[];
  /** The media type that it makes of them. */
  readonly returns: string;
  /** An absolute path, or a name that is looked for in PATH. */
  readonly path: string;
  readonly args: readonly string[];
  /** `NAME=value`, beside PATH and HOME, the only ones of our own environment that it gets. */
  readonly env: readonly string[];
  /** Longest time that it may keep us waiting; default 60 s. */
  readonly stallTimeoutMs?: number | undefined;
}

const MEDIA_TYPE_VARIABLE = "STREAM_PROCESSOR_MEDIATYPE";

/**
 * A program that reads a layer from stdin and writes another form of it to stdout, as containerd calls it (core/diff
 * stream_unix.go): one process a layer; failed by any exit code but 0.
 */
export function externalProcessor(options: ExternalProcessorOptions): StreamProcessor {
  const { name, returns } = options;
  const accepts = new Set(options.accepts);
  return {
    name,
    returns: (mediaType) => (accepts.has(mediaType) ? returns : undefined),
    run: (input) => runProgram(options, input),
  };
}

async function* runProgram(options: ExternalProcessorOptions, input: ProcessorInput): AsyncGenerator<Buffer> {
  const { path, args } = options;
  const inherited = await inheritedFiles();
  input.signal.throwIfAborted();
  const program = new Program({
    path,
    args,
    environment: environmentOf(options, input.mediaType),
    payload: given(input, options.name) ?? decryptionPayload(input),
    inherited,
  });
  /** Why it was killed. */
  let failure: { readonly thrown: unknown } | undefined;
  const fail = (thrown: unknown): void => {
    failure ??= { thrown };
    program.kill();
  };
  const onAbort = (): void => fail(input.signal.reason);
  input.signal.addEventListener("abort", onAbort, { once: true });
  using watch = new StallWatch({
    timeoutMs: options.stallTimeoutMs ?? STALL_TIMEOUT_MS,
    onStall: () => fail(stalled(options, input)),
  });
  let isOver = false;
  const feeding = feed({ program, input, watch, isOver: () => isOver }).catch(fail);
  try {
    for (;;) {
      watch.moved({ forOutput: true });
      const piece = await nextOf(program);
      watch.moved({ forOutput: false });
      if (piece === undefined || failure !== undefined) break;
      yield piece;
    }
    const end = await program.ended;
    // What comes before it may have found that the bytes are wrong.
    if (end.kind === "exit" && end.code === 0) await feeding;
    if (failure !== undefined) throw failure.thrown;
    if (end.kind !== "exit" || end.code !== 0) throw await failed({ options, input, program, end });
  } finally {
    isOver = true;
    input.signal.removeEventListener("abort", onAbort);
    program.kill();
  }
}

function given({ payloads }: ProcessorInput, name: string): Uint8Array | undefined {
  return payloads !== undefined && Object.hasOwn(payloads, name) ? payloads[name] : undefined;
}

/** Gives the program all of its input, as fast as it takes it. */
async function feed(options: {
  readonly program: Program;
  readonly input: ProcessorInput;
  readonly watch: StallWatch;
  readonly isOver: () => boolean;
}): Promise<void> {
  const { program, input, watch, isOver } = options;
  watch.moved({ forInput: true });
  for await (const piece of input.bytes) {
    if (isOver()) return;
    watch.moved({ forInput: false });
    await program.write(piece);
    watch.moved({ forInput: true });
  }
  watch.moved({ forInput: false });
  program.endInput();
}

/** undefined: its output is at its end. */
async function nextOf(program: Program): Promise<Buffer | undefined> {
  const { stdout } = program;
  for (;;) {
    const piece = stdout.read() as Buffer | null;
    if (piece !== null) return piece;
    if (stdout.readableEnded || stdout.destroyed) return undefined;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        for (const name of ["readable", "end", "close", "error"]) stdout.off(name, done);
        resolve();
      };
      for (const name of ["readable", "end", "close", "error"]) stdout.on(name, done);
    });
  }
}

function environmentOf({ env }: ExternalProcessorOptions, mediaType: string): Record<string, string> {
  const { PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME = "/" } = process.env;
  const given = env.map((entry): [string, string] => {
    const equals = entry.indexOf("=");
    return [entry.slice(0, equals), entry.slice(equals + 1)];
  });
  return { PATH, HOME, ...Object.fromEntries(given), [MEDIA_TYPE_VARIABLE]: mediaType };
}

async function failed(what: {
  readonly options: ExternalProcessorOptions;
  readonly input: ProcessorInput;
  readonly program: Program;
  readonly end: ProgramEnd;
}): Promise<Error> {
  const { options, input, program, end } = what;
  const { name, path } = options;
  if (end.kind === "not-started") {
    return failedPrecondition(`Cannot start the stream processor ${name}: ${path}: ${end.cause.code}`, {
      subject: input.digest,
      reason: "stream-processor-missing",
      hint: `Install ${path}, or change [stream_processors.${name}] path`,
      cause: end.cause,
    });
  }
  const how = end.kind === "exit" ? `exit code ${end.code}` : end.name;
  const tail = await program.stderrTail();
  const said = tail === "" ? "it said nothing" : tail;
  return failedPrecondition(
    `Cannot decode layer ${input.digest}: the stream processor ${name} ended with ${how}: ${said}`,
    { subject: input.digest, reason: "stream-processor-failed", hint: `Look at [stream_processors.${name}]` },
  );
}

function stalled({ name, stallTimeoutMs }: ExternalProcessorOptions, { digest }: ProcessorInput): Error {
  return deadlineExceeded(
    `Cannot decode layer ${digest}: the stream processor ${name} did nothing for ${stallTimeoutMs ?? STALL_TIMEOUT_MS} ms`,
    { subject: digest, reason: "stream-processor-stalled" },
  );
}
