import { CHALLENGE_LENGTH_MAX, CHALLENGE_PARAMETERS_MAX, CHALLENGES_MAX } from "./limits.js";

export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** Names in lower case; the first of several equal ones counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const tokenText = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const quotedText = /"((?:[^"\\]|\\.)*)"/y;
const looseText = /[^\s,"]+/y;
const spaces = /[ \t]*/y;
const separators = /[ \t,]*/y;

/**
 * Reads a `WWW-Authenticate` header (RFC 9110 11.6.1), one or many challenges. Total: whatever can't be read ends the
 * reading, and what was read before it counts. Every pattern is anchored and linear.
 */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, CHALLENGE_LENGTH_MAX);
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match === null) return undefined;
    position = pattern.lastIndex;
    return match;
  };
  while (position < text.length) {
    take(separators);
    const word = take(tokenText)?.[0];
    if (word === undefined) break;
    const afterWord = position;
    take(spaces);
    if (text[position] !== "=") {
      if (challenges.length === CHALLENGES_MAX) break;
      position = afterWord;
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      continue;
    }
    position += 1;
    take(spaces);
    const quoted = take(quotedText)?.[1];
    const value = quoted?.replace(/\\(.)/g, "$1") ?? take(looseText)?.[0];
    const parameters = challenges.at(-1)?.parameters;
    if (value === undefined || parameters === undefined || parameters.size === CHALLENGE_PARAMETERS_MAX)
      break;
    const name = word.toLowerCase();
    if (!parameters.has(name)) parameters.set(name, value);
  }
  return challenges;
}
