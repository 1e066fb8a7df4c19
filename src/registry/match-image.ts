/** Letters of a pattern; a longer one matches nothing. */
const PATTERN_LENGTH_MAX = 1024;

interface Place {
  readonly hostParts: readonly string[];
  readonly port: string;
  readonly path: string;
}

/**
 * Whether a kubelet would give the credentials of a pattern to an image without its tag, e.g. `*.dkr.ecr.*.amazonaws.com`
 * or `registry.example:5000/team` (KEP-2133, `matchImages`): as many parts between dots, each with `*` and `?` for
 * letters within it, the same port, and a path that begins with the pattern's.
 */
export function matchesImage(pattern: string, image: string): boolean {
  if (pattern.length > PATTERN_LENGTH_MAX) return false;
  const wanted = placeOf(pattern);
  const actual = placeOf(image);
  return (
    wanted.port === actual.port &&
    wanted.hostParts.length === actual.hostParts.length &&
    wanted.hostParts.every((part, index) => matchesPart(part, actual.hostParts[index]!)) &&
    actual.path.startsWith(wanted.path)
  );
}

function placeOf(text: string): Place {
  const bare = text.replace(/^https?:\/\//, "");
  const slash = bare.indexOf("/");
  const address = slash < 0 ? bare : bare.slice(0, slash);
  const port = /:(\d{1,5})$/.exec(address)?.[1] ?? "";
  const host = port === "" ? address : address.slice(0, -port.length - 1);
  // A lone slash is no path.
  const path = slash < 0 ? "" : bare.slice(slash + 1);
  return { hostParts: host.toLowerCase().split("."), port, path };
}

/** `*` and `?` as in a file name; steps at most the product of both lengths. */
function matchesPart(pattern: string, text: string): boolean {
  let at = 0;
  let place = 0;
  let starAt = -1;
  let starPlace = 0;
  while (place < text.length) {
    const letter = pattern[at];
    if (letter === "*") {
      starAt = at;
      starPlace = place;
      at += 1;
    } else if (letter === "?" || letter === text[place]) {
      at += 1;
      place += 1;
    } else if (starAt >= 0) {
      at = starAt + 1;
      starPlace += 1;
      place = starPlace;
    } else {
      return false;
    }
  }
  while (pattern[at] === "*") at += 1;
  return at === pattern.length;
}
