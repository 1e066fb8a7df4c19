/** One option of a command, as `--help` shows it. */
export interface CommandOption {
  readonly type: "string" | "boolean";
  /** Stands for the value in the help, e.g. PATH. */
  readonly value?: string;
  readonly short?: string;
  /** May be given many times. */
  readonly multiple?: boolean;
  readonly meaning: string;
}

export interface CommandInput {
  readonly positionals: readonly string[];
  /** Texts of each option that was given; a boolean one is `["true"]`. */
  readonly options: Readonly<Record<string, readonly string[] | undefined>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Progress for people, on stderr. */
  readonly tell: (line: string) => void;
}

/** What a command hands to the printer: data for machines, and the same for people. */
export interface CommandResult {
  readonly data: unknown;
  /** Whole lines, with the last line break. */
  readonly text: string;
  /** 0 when left out. */
  readonly exitCode?: number;
  /** The command has written its data by itself. */
  readonly isPrinted?: boolean;
}

export interface Command {
  readonly name: string;
  /** Half a sentence for the list of commands. */
  readonly summary: string;
  /** What stands behind the name in the usage line. */
  readonly usage: string;
  readonly positionalsMin: number;
  readonly positionalsMax: number;
  /** What stands behind this many positionals belongs to another program: no option in it is ours. */
  readonly verbatimAfter?: number;
  /** Paragraphs. */
  readonly description: readonly string[];
  readonly options: Readonly<Record<string, CommandOption>>;
  /** [command line, what it does] */
  readonly examples: readonly (readonly [string, string])[];
  run(input: CommandInput): Promise<CommandResult>;
}

export const jsonOption = { type: "boolean", meaning: "Print JSON instead of text." } as const;
