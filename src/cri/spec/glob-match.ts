/**
 * Go's path.Match on a whole text: `*` and `?` stop at slashes, `[a-z]` and `[^a]` are classes, a backslash takes the next
 * character as it is. A pattern that is malformed matches nothing. Takes time by the product of both lengths at most.
 */
export function globMatch(pattern: string, text: string): boolean {
  const tokens = tokensOf(pattern);
  if (tokens === undefined) return false;
  const characters = [...text];
  let token = 0;
  let place = 0;
  let star: { readonly token: number; place: number } | undefined;
  while (place < characters.length || token < tokens.length) {
    const next = tokens[token];
    if (next === "*") {
      star = { token, place };
      token += 1;
    } else if (next !== undefined && place < characters.length && next(characters[place]!)) {
      token += 1;
      place += 1;
    } else if (star !== undefined && star.place < characters.length && characters[star.place] !== "/") {
      star.place += 1;
      token = star.token + 1;
      place = star.place;
    } else {
      return false;
    }
  }
  return true;
}

type Token = "*" | ((character: string) => boolean);

function tokensOf(pattern: string): readonly Token[] | undefined {
  const characters = [...pattern];
  const tokens: Token[] = [];
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at]!;
    if (character === "*") {
      if (tokens.at(-1) !== "*") tokens.push("*");
    } else if (character === "?") {
      tokens.push((one) => one !== "/");
    } else if (character === "[") {
      const group = classAt(characters, at + 1);
      if (group === undefined) return undefined;
      tokens.push(group.matches);
      at = group.end;
    } else {
      if (character === "\\") at += 1;
      const literal = characters[at];
      if (literal === undefined) return undefined;
      tokens.push((one) => one === literal);
    }
  }
  return tokens;
}

/** The class that starts behind its bracket, and where its other bracket is. */
function classAt(characters: readonly string[], start: number) {
  const isNegated = characters[start] === "^";
  const ranges: (readonly [string, string])[] = [];
  let at = isNegated ? start + 1 : start;
  while (characters[at] !== "]" || ranges.length === 0) {
    const low = boundAt(characters, at);
    if (low === undefined) return undefined;
    at = low.next;
    const high = characters[at] === "-" ? boundAt(characters, at + 1) : low;
    if (high === undefined) return undefined;
    at = high.next;
    ranges.push([low.bound, high.bound]);
  }
  const matches = (one: string) => ranges.some(([low, high]) => low <= one && one <= high) !== isNegated;
  return { matches, end: at };
}

function boundAt(characters: readonly string[], at: number) {
  const first = characters[at];
  if (first === undefined || first === "-" || first === "]") return undefined;
  const bound = first === "\\" ? characters[at + 1] : first;
  return bound === undefined ? undefined : { bound, next: first === "\\" ? at + 2 : at + 1 };
}
