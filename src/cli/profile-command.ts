import { invalidArgument } from "../errors/index.js";
import { type Command, type CommandInput, type CommandResult, jsonOption } from "./command.js";
import { configOptions } from "./config-command.js";
import {
  exportProfile,
  importProfile,
  learnProfiles,
  listProfiles,
  removeProfiles,
  showProfile,
} from "./profile-local.js";
import { pullProfile, pushProfile } from "./profile-registry.js";

interface Action {
  readonly run: (input: CommandInput, words: readonly string[]) => Promise<CommandResult>;
  readonly least: number;
  readonly most: number;
  readonly wanted: string;
}

const NAMES_MAX = 256;

const actions: Readonly<Record<string, Action>> = {
  ls: { run: listProfiles, least: 0, most: 1, wanted: "ls [IMAGE]" },
  show: { run: showProfile, least: 1, most: 1, wanted: "show IMAGE|ID" },
  learn: { run: learnProfiles, least: 1, most: 1, wanted: "learn IMAGE" },
  export: { run: exportProfile, least: 1, most: 1, wanted: "export IMAGE|ID" },
  import: { run: importProfile, least: 1, most: 1, wanted: "import FILE" },
  push: { run: pushProfile, least: 1, most: 2, wanted: "push IMAGE [ID]" },
  pull: { run: pullProfile, least: 1, most: 1, wanted: "pull IMAGE" },
  rm: { run: removeProfiles, least: 1, most: NAMES_MAX, wanted: "rm IMAGE|ID..." },
};

export const profileCommand: Command = {
  name: "profile",
  summary: "what starts of images read first: learnt, shared, replayed",
  usage: `${Object.values(actions)
    .map(({ wanted }) => wanted)
    .join(" | ")} [options]`,
  positionalsMin: 1,
  positionalsMax: 1 + NAMES_MAX,
  description: [
    "A profile says which files of an image its starts read, and in what order. lazuli learns one from each cold start and, at the next pull on a node without the layers, fetches those files before they are asked for. It names files by path and size: the next tag of the image profits too, in whatever format.",
    "`ls`, `show` and `rm` look at those of this node. `learn` makes the profiles of an image anew from the traces that are kept of it. `export` writes one down, as it is, as a list for `lazuli convert --prioritize`, or as SOCI's prefetch artifacts; `import` takes one in.",
    "`push` publishes the profile of an image beside it in its registry, as an artifact that refers to it. Nodes find it there at the pull (`[profiles] use`); `pull` keeps it on this node by hand. Of the command only the program goes along.",
    "An IMAGE stands for the profile of its repository that was used last; one with a digest for that of just this manifest.",
  ],
  options: {
    as: {
      type: "string",
      value: "json|prioritize|soci-prefetch",
      meaning: "What `export` writes; json, the document itself, unless given.",
    },
    output: {
      type: "string",
      value: "PATH",
      short: "o",
      meaning: "Where `export` writes to: a file, or for soci-prefetch a folder. Without it: to stdout.",
    },
    trace: {
      type: "string",
      value: "FILE",
      meaning: "A trace to `learn` from, in place of those of this node.",
    },
    platform: {
      type: "string",
      value: "OS/ARCH[/VARIANT]",
      meaning: "Of an index, the image whose profile is pushed or pulled. Without it: that of this machine.",
    },
    config: configOptions.config!,
    root: configOptions.root!,
    json: jsonOption,
  },
  examples: [
    ["lazuli profile ls", "Which images has this node learnt?"],
    [
      "lazuli profile push registry.example/app:1",
      "Let every node start it as fast as this one would again.",
    ],
    [
      "lazuli profile export registry.example/app:1 --as prioritize -o first.txt",
      "Then: lazuli convert ... --to estargz --prioritize first.txt",
    ],
  ],
  run: async (input) => {
    const [name = "", ...words] = input.positionals;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) throw usage(`want ${Object.keys(actions).join(", ")}, got "${name}"`);
    if (words.length < action.least || words.length > action.most) {
      throw usage(`want lazuli profile ${action.wanted}`);
    }
    return await action.run(input, words);
  },
};

function usage(problem: string): Error {
  return invalidArgument(`Cannot run lazuli profile: ${problem}`, {
    reason: "usage",
    hint: "`lazuli profile --help` shows what each does",
  });
}
