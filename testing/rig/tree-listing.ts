import { command } from "./command.js";

/** What the eStargz converter adds at the root of a tar; a lazy mount does not show it. */
export const formatFiles = ["stargz.index.json", ".prefetch.landmark", ".no.prefetch.landmark"];

/** For bash, with the folder as $1: prints what listingOf() reads. */
export const treeListingScript = String.raw`
cd "$1"
stat -c '.|%F|%a|%u|%g' .
find . -mindepth 1 \( -type d -printf '%P|%y|%m|%U|%G||%Ts||\n' \) -o -printf '%P|%y|%m|%U|%G|%s|%Ts|%n|%l\n'
find . -type f -print0 | sort -z | xargs -0 -r sha256sum
find . \( -type b -o -type c \) -exec stat -c '%n|%t|%T' {} +
getfattr -R -h -d -m '^(user|security|system|trusted)\.' -e hex . 2>/dev/null
`;

/**
 * Every fact of a tree that a container can see: types, modes, owners, sizes, times to the second, link counts, link
 * targets, device numbers (but the root's time, which an unpacking containerd takes from its own clock), extended attributes and the sha256 of every file, as sorted lines. Read by other
 * processes, since this one may be the one that serves the tree.
 */
export async function treeListing(folder: string): Promise<string[]> {
  const { stdout } = await command("bash", ["-c", treeListingScript, "tree-listing", folder]);
  return listingOf(stdout);
}

/** What a run of the script elsewhere has printed, as treeListing() gives it. */
export function listingOf(stdout: string): string[] {
  return attachXattrs(stdout.split("\n"))
    .filter((line) => line !== "" && !formatFiles.some((name) => line.includes(name)))
    .sort();
}

/** getfattr prints a file's name once and its attributes below: puts the name on each line. */
function attachXattrs(lines: readonly string[]): string[] {
  let file = "";
  return lines.flatMap((line) => {
    if (line.startsWith("# file: ")) {
      file = line.slice(8);
      return [];
    }
    return /^(user|security|system|trusted)\./.test(line) ? [`${file}|${line}`] : [line];
  });
}

/** Lines that only one of two listings has, marked with < and >. */
export function listingDifference(left: readonly string[], right: readonly string[]): string[] {
  const [inLeft, inRight] = [new Set(left), new Set(right)];
  return [
    ...left.filter((line) => !inRight.has(line)).map((line) => `< ${line}`),
    ...right.filter((line) => !inLeft.has(line)).map((line) => `> ${line}`),
  ];
}
