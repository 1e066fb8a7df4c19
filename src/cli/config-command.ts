import { configKeys, configPage, defaultConfigText, dumpConfig, loadConfig } from "../daemon/index.js";
import { invalidArgument } from "../errors/index.js";
import { type Command, type CommandOption, jsonOption } from "./command.js";
import { configFileOption } from "./config-file-option.js";
import { migrateCommand, migrateOptions } from "./config-migrate.js";

/** `--config` and one flag for each key of the config. */
export const configOptions: Readonly<Record<string, CommandOption>> = {
  config: configFileOption,
  ...Object.fromEntries(
    configKeys.map((key) => [
      key.flag,
      {
        type: "string",
        value: "VALUE",
        multiple: Array.isArray(key.field.initial),
        meaning: `${key.path}: ${key.field.meaning} (${key.field.kind.wanted})`,
      } satisfies CommandOption,
    ]),
  ),
};

const actions = ["default", "dump", "check", "docs", "migrate"] as const;

export const configCommand: Command = {
  name: "config",
  summary: "show, check or start a config file",
  usage: "default|dump|check|docs|migrate [options]",
  positionalsMin: 1,
  positionalsMax: 1,
  description: [
    "`default` prints a file to start from: every key with its meaning, all values commented out.",
    "`check` reads the config that would be in force and says what is wrong with it, all problems at once.",
    "`dump` prints the config that is in force after flags, environment, file and defaults.",
    "`docs` prints the page of all keys as Markdown.",
    "`migrate` makes a file of ours from one of containerd (versions 1 to 4) and what it imports, and lists what it left out and why: on stderr, or on stdout where -o takes the file. It ends with 0 also where keys were left out, with --strict then with 9.",
  ],
  options: { ...configOptions, ...migrateOptions, json: jsonOption },
  examples: [
    ["lazuli config default > /etc/lazuli/config.toml", "A file to start from."],
    ["lazuli config check --config ./config.toml", "Is this file good?"],
    [
      "lazuli config migrate --from /etc/containerd/config.toml -o /etc/lazuli/config.toml",
      "Take containerd's config over.",
    ],
  ],
  run: async (input) => {
    const action = input.positionals[0]!;
    if (!actions.some((known) => known === action)) {
      throw invalidArgument(`Cannot run lazuli config: want ${actions.join(", ")}, got "${action}"`, {
        reason: "usage",
        hint: "`lazuli config --help` shows what each does",
      });
    }
    if (action === "default") return { data: { text: defaultConfigText() }, text: defaultConfigText() };
    if (action === "migrate") return await migrateCommand(input);
    if (action === "docs") return { data: { text: configPage() }, text: configPage() };
    const { config, file } = await loadConfig({
      file: input.options.config?.at(-1),
      environment: input.environment,
      flags: input.options,
    });
    if (action === "dump") return { data: config, text: dumpConfig(config) };
    const source = file ?? "no file, defaults";
    return { data: { ok: true, file }, text: `The config is good (${source}).\n` };
  },
};
