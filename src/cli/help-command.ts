import type { Command } from "./command.js";
import { commandHelp, overview } from "./help-text.js";

/** `lazuli help`, which knows all commands. */
export function helpCommand(loadAll: () => Promise<readonly Command[]>): Command {
  return {
    name: "help",
    summary: "list the commands, or show the page of one",
    usage: "[command]",
    positionalsMin: 0,
    positionalsMax: 1,
    description: ["Lists the commands, or shows the page of one, as `lazuli <command> --help` does."],
    options: {},
    examples: [["lazuli help explain", "The page of `lazuli explain`."]],
    run: async (input) => {
      const all = await loadAll();
      const command = all.find((candidate) => candidate.name === input.positionals[0]);
      const text = command === undefined ? overview(all) : commandHelp(command);
      return { data: { text }, text };
    },
  };
}
