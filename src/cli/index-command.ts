import { invalidArgument } from "../errors/index.js";
import {
  type ConvertEvent,
  indexImage,
  indexImageFine,
  openImageSource,
  openImageTarget,
  parseImageLocation,
  pushIndexes,
} from "../transfer/index.js";
import { type Command, type CommandInput, type CommandResult, jsonOption } from "./command.js";
import { layerTable } from "./convert-command.js";
import {
  imageOptions,
  numberOption,
  openRegistry,
  progressOf,
  readPlatforms,
  recordFolder,
  scratchFolder,
} from "./image-options.js";
import { signalled } from "./signalled.js";

export const indexCommand: Command = {
  name: "index",
  summary: "make images lazy as they are, by indexes that lie beside them",
  usage: "create IMAGE TARGET | push INDEXES IMAGE [options]",
  positionalsMin: 3,
  positionalsMax: 3,
  description: [
    "`create` reads the layers of an image and puts an index of each platform into TARGET, an oci:FOLDER[:NAME] or oci-archive:FILE[:NAME]. The image stays as it is. Small layers are left out. SOCI's (version 1) is read by soci-snapshotter, too, and has none of zstd layers. Ours (`--kind fine`) has shorter spans, windows that are fetched when they are needed, and digests by which bytes are served before their span has arrived; it takes zstd layers of frames of at most 16 MiB.",
    "`push` pushes such indexes to the registry that has the image, as what refers to it: lazuli and soci-snapshotter find them there (lazuli where `[layer] soci_referrers`, or for ours `[layer] fine_referrers`, is on). Where the registry has no referrers API, a tag stands in for it, as the distribution specification has it.",
    "An image that carries its index inside, for readers that ask for no referrers, is what `lazuli convert --to soci` makes.",
  ],
  options: {
    kind: { type: "string", value: "soci|fine", meaning: "Whose index to create (soci)." },
    "span-size": {
      type: "string",
      value: "BYTES",
      meaning: "Of SOCI: what a span has at least, of the tar (4194304): what a reader fetches at least.",
    },
    "min-layer-size": {
      type: "string",
      value: "BYTES",
      meaning: "Smaller layers get no index, since they are pulled whole as fast (10485760).",
    },
    ...imageOptions,
    json: jsonOption,
  },
  examples: [
    ["lazuli index create --kind fine registry.example/app:1 oci:./app-index", "Finer than SOCI's."],
    ["lazuli index create registry.example/app:1 oci:./app-index", "Read it once, from anywhere."],
    ["lazuli index push oci:./app-index registry.example/app:1", "Let every node find it."],
  ],
  run: async (input) => {
    const [action] = input.positionals;
    if (action === "create") return await create(input);
    if (action === "push") return await push(input);
    throw invalidArgument(`Cannot run lazuli index: want create or push, got "${action}"`, {
      reason: "usage",
      hint: "`lazuli index --help` shows what each does",
    });
  },
};

async function create(input: CommandInput): Promise<CommandResult> {
  const platforms = readPlatforms(input);
  const kind = readKind(input);
  const [from, to] = input.positionals.slice(1).map((text) => parseImageLocation(text));
  await using registry = await openRegistry(input, [from!, to!]);
  await using source = await openImageSource(from!, registry);
  await using target = await openImageTarget(to!, registry);
  using stop = signalled();
  const progress = progressOf(input);
  try {
    const options = {
      source,
      target,
      platforms,
      layerSizeMinBytes: numberOption(input, "min-layer-size"),
      onEvent: (event: ConvertEvent) => progress.show(event),
      signal: stop.signal,
    };
    const report =
      kind === "fine"
        ? await indexImageFine(options)
        : await indexImage({
            ...options,
            spanSizeBytes: numberOption(input, "span-size"),
            scratchFolder: scratchFolder(input),
            recordFolder: recordFolder(input),
          });
    const text = `${layerTable(report.manifests)}\n${target.description}: ${report.digest}\n`;
    return { data: { target: target.description, ...report }, text };
  } finally {
    progress.end();
  }
}

function readKind(input: CommandInput): "soci" | "fine" {
  const kind = input.options.kind?.at(-1) ?? "soci";
  if (kind === "soci") return kind;
  if (kind !== "fine") throw usage(`want --kind soci or fine, got "${kind}"`);
  if (input.options["span-size"] === undefined) return kind;
  throw usage("want --span-size with an index of SOCI, got it with ours");
}

function usage(problem: string): Error {
  const hint = "`lazuli index --help` shows what there is";
  return invalidArgument(`Cannot create an index: ${problem}`, { reason: "usage", hint });
}

async function push(input: CommandInput): Promise<CommandResult> {
  const [from, to] = input.positionals.slice(1).map((text) => parseImageLocation(text));
  if (to!.kind !== "registry") {
    throw invalidArgument("Cannot push indexes: want the image in a registry", {
      reason: "usage",
      hint: "`lazuli index --help` shows the order of words",
    });
  }
  await using registry = await openRegistry(input, [from!, to!]);
  await using source = await openImageSource(from!, registry);
  await using target = await openImageTarget(to!, registry);
  await using place = await openImageSource(to!, registry);
  using stop = signalled();
  const pushed = await pushIndexes({ source, target, place, signal: stop.signal });
  const lines = pushed.map(
    ({ digest, subject, listedBy }) => `${digest} of ${subject}, listed by ${listedBy}\n`,
  );
  return { data: { target: target.description, indexes: pushed }, text: lines.join("") };
}
