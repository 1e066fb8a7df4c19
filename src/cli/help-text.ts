import type { Command, CommandOption } from "./command.js";

const WIDTH = 88;

/** The page of `lazuli <command> --help`. */
export function commandHelp(command: Command): string {
  const blocks = [
    `lazuli ${command.name} - ${command.summary}`,
    `USAGE\n  lazuli ${`${command.name} ${command.usage}`.trim()}`,
    `DESCRIPTION\n${command.description.map((paragraph) => fill(paragraph, "  ")).join("\n\n")}`,
    `OPTIONS\n${optionLines(command)}`,
    `EXAMPLES\n${command.examples.map(([line, meaning]) => `  ${line}\n${fill(meaning, "      ")}`).join("\n")}`,
    "EXIT STATUS\n  0 done; 2 bad usage or bad value; 1 anything else; other numbers name an error code,\n  see docs/errors.md.",
  ];
  return `${blocks.join("\n\n")}\n`;
}

/** The page of `lazuli help`. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  const lines = commands.map((command) => `  ${command.name.padEnd(width)}  ${command.summary}`);
  return [
    "lazuli - containers that start before their image has arrived",
    "",
    "USAGE",
    "  lazuli <command> [options]",
    "",
    "COMMANDS",
    ...lines,
    "",
    "`lazuli <command> --help` shows a command's page. Data goes to stdout, all else to stderr.",
    "",
  ].join("\n");
}

const helpOption: CommandOption = { type: "boolean", short: "h", meaning: "Show this page." };

function optionLines(command: Command): string {
  return Object.entries({ ...command.options, help: helpOption })
    .map(([name, option]) => {
      const short = option.short === undefined ? "" : `-${option.short}, `;
      const value = option.type === "string" ? ` ${option.value ?? "TEXT"}` : "";
      return `  ${short}--${name}${value}\n${fill(option.meaning, "      ")}`;
    })
    .join("\n");
}

function fill(text: string, indent: string): string {
  const lines = [indent];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1]!;
    if (last.length + word.length + 1 > WIDTH && last !== indent) lines.push(indent + word);
    else lines[lines.length - 1] = last === indent ? indent + word : `${last} ${word}`;
  }
  return lines.join("\n");
}
