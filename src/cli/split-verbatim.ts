import type { Command } from "./command.js";

/** Splits what stands behind a command's own positionals (another program and its arguments) from what is for us. */
export function splitVerbatim(
  command: Command,
  words: readonly string[],
): { readonly own: readonly string[]; readonly verbatim: readonly string[] } {
  if (command.verbatimAfter === undefined) return { own: words, verbatim: [] };
  let positionals = 0;
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]!;
    if (word === "--") return { own: words.slice(0, at), verbatim: words.slice(at + 1) };
    if (word.startsWith("-") && word !== "-") {
      if (takesNext(command, word)) at += 1;
      continue;
    }
    positionals += 1;
    if (positionals === command.verbatimAfter) {
      return { own: words.slice(0, at + 1), verbatim: words.slice(at + 1) };
    }
  }
  return { own: words, verbatim: [] };
}

/** Whether the value of an option is the next word: `--name web`, `-e A=1`, `-ite A=1`; not `--name=web`, `-eA=1`. */
function takesNext({ options }: Command, word: string): boolean {
  if (word.startsWith("--")) return !word.includes("=") && options[word.slice(2)]?.type === "string";
  const letters = [...word.slice(1)];
  const at = letters.findIndex((letter) =>
    Object.values(options).some(({ short, type }) => short === letter && type === "string"),
  );
  return at >= 0 && at === letters.length - 1;
}
