import type { Said } from "./snapshotters-rig.js";

/** Where ours differ from containerd 1.6's on purpose: its words as ours would be. */

/** What its snapshotters put before an error of their storage; those of containerd 2 have other words there. */
const wrapping =
  /^ctr: failed to (create snapshot|get active mount|get active snapshot|get snapshot mount|commit snapshot|commit): /;

export function withoutWrapping(said: Said): Said {
  return { ...said, stderr: said.stderr.replace(wrapping, "ctr: ") };
}

/** Its overlayfs writes its own options before the layers, that of containerd 2 and ours behind them. */
export function ownOptionsLast(said: Said): Said {
  const stdout = said.stdout
    .replace(/-o index=off,(.*)$/m, "-o $1,index=off")
    .replace(/( +"index=off"),\n((?: +"\w+=.*\n)+)/, (_all, own, layers) => `${layers.trimEnd()},\n${own}\n`);
  return { ...said, stdout };
}

/** Its native looks for the tree of a view, which has none, before it looks what kind it is. */
export function viewIsNotActive(said: Said, key: string): Said {
  const reason = `snapshot "<namespace>/<n>/${key}" is not active: failed precondition`;
  return { ...said, stderr: said.stderr.replace(/lstat .*/, reason) };
}

/** Its native copies folders before what is in them, and so loses their times. For lines of a listing. */
export function withoutFolderTimes(text: string): string {
  return text.replace(/^.*\|(d|directory)\|.*$/gm, (line) => line.replace(/\b\d{10}\b/, "<time>"));
}

/** Its native fills holes when it copies, and so counts more: a script for both makes none. */
export function withoutHoles(script: string): string {
  return script.replace(/truncate -s \w+ \w+;/, "");
}

/** Through a containerd's own namespace, its name and a number stand before that of our client in what it says. */
export function withoutOuterNamespace(said: Said, namespace: string): Said {
  return { ...said, stderr: said.stderr.replace(new RegExp(`${namespace}/\\d+/`, "g"), "") };
}

/** It has no words for an empty name of its own, and says what its database says. */
export function emptyNameIsInvalid(said: Said): Said {
  const reason = "snapshot name must have 1 to 900 bytes, got 0: invalid argument";
  return { ...said, stderr: said.stderr.replace("bucket name required: unknown", reason) };
}

/** Which further options its overlay mounts have is up to a plugin. */
export function withoutIndexOption(said: Said): Said {
  return { ...said, stdout: said.stdout.replace(/,index=off|,\n +"index=off"/g, "") };
}
