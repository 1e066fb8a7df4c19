import type { CommandOption } from "./command.js";

export const configFileOption: CommandOption = {
  type: "string",
  value: "PATH",
  short: "c",
  meaning: "Config file. Without it: LAZULI_CONFIG, then /etc/lazuli/config.toml where there is one.",
};
