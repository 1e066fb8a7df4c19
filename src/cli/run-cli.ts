import { parseArgs } from "node:util";
import { invalidArgument, LazuliError, nearestWord } from "../errors/index.js";
import type { Command, CommandInput, CommandResult } from "./command.js";
import { commandNames, loadCommand, loadCommands } from "./commands.js";
import { commandHelp, overview } from "./help-text.js";
import { splitVerbatim } from "./split-verbatim.js";

export interface CliOptions {
  /** What stands behind the program's name. */
  readonly arguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** Runs one command line and returns its exit code. Never throws. */
export async function runCli(options: CliOptions): Promise<number> {
  let isJson = false;
  try {
    const [name, ...rest] = options.arguments;
    if (name === undefined) {
      options.stderr(overview(await loadCommands()));
      return 2;
    }
    if (name === "--help" || name === "-h") return printText(options, overview(await loadCommands()));
    const command = await findCommand(name === "--version" ? "version" : name);
    const { own, verbatim } = splitVerbatim(command, rest);
    isJson = own.includes("--json");
    if (own.includes("--help") || own.includes("-h")) return printText(options, commandHelp(command));
    const { positionals, values } = parse(command, own, verbatim);
    const input: CommandInput = {
      positionals,
      options: values,
      environment: options.environment,
      tell: (line) => options.stderr(`${line}\n`),
    };
    return print(options, await command.run(input), isJson);
  } catch (thrown) {
    return printError(options, LazuliError.from(thrown), isJson);
  }
}

async function findCommand(name: string): Promise<Command> {
  const command = await loadCommand(name);
  if (command !== undefined) return command;
  const meant = nearestWord(name, commandNames);
  throw invalidArgument(`Cannot run "${name}": there is no such command`, {
    reason: "command-unknown",
    hint: meant === undefined ? "`lazuli help` lists the commands" : `Did you mean \`lazuli ${meant}\`?`,
  });
}

function parse(
  command: Command,
  rest: readonly string[],
  verbatim: readonly string[],
): { positionals: readonly string[]; values: Record<string, string[]> } {
  const known = Object.entries(command.options);
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({
      args: [...rest],
      allowPositionals: true,
      options: Object.fromEntries(
        known.map(([name, option]) => [
          name,
          {
            type: option.type,
            multiple: option.multiple === true,
            ...(option.short === undefined ? {} : { short: option.short }),
          },
        ]),
      ),
    });
  } catch (thrown) {
    if (!(thrown instanceof TypeError)) throw thrown;
    throw usageError(command, unknownOption(command, rest) ?? thrown.message.split(". ")[0]!);
  }
  const positionals = [...parsed.positionals, ...verbatim];
  if (positionals.length < command.positionalsMin || positionals.length > command.positionalsMax) {
    throw usageError(command, `want ${`${command.name} ${command.usage}`.trim()}`);
  }
  const values: Record<string, string[]> = {};
  for (const [name, value] of Object.entries(parsed.values)) {
    if (value !== undefined) values[name] = [value].flat().map(String);
  }
  return { positionals, values };
}

function unknownOption(command: Command, rest: readonly string[]): string | undefined {
  const names = Object.keys(command.options);
  for (const argument of rest) {
    if (argument === "--") return undefined;
    const name = /^--([^=]+)/.exec(argument)?.[1];
    if (name === undefined || names.includes(name)) continue;
    const meant = nearestWord(name, names);
    return `there is no option --${name}${meant === undefined ? "" : `, did you mean --${meant}?`}`;
  }
  return undefined;
}

function usageError(command: Command, problem: string): LazuliError {
  return invalidArgument(`Cannot run lazuli ${command.name}: ${problem}`, {
    reason: "usage",
    hint: `\`lazuli ${command.name} --help\` shows the options`,
  });
}

function print(options: CliOptions, result: CommandResult, isJson: boolean): number {
  if (result.isPrinted === true) return result.exitCode ?? 0;
  options.stdout(isJson ? `${JSON.stringify(result.data, plainValue, 2)}\n` : result.text);
  return result.exitCode ?? 0;
}

function printText(options: CliOptions, text: string): number {
  options.stdout(text);
  return 0;
}

function printError(options: CliOptions, error: LazuliError, isJson: boolean): number {
  const { code, message, subject, reason, hint } = error;
  if (isJson) options.stderr(`${JSON.stringify({ error: { code, message, subject, reason, hint } })}\n`);
  else {
    options.stderr(`lazuli: ${message}\n`);
    if (hint !== undefined) options.stderr(`hint: ${hint}\n`);
  }
  return error.facts.exit;
}

function plainValue(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
