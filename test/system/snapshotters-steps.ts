import type { Asker, Said } from "./snapshotters-rig.js";

/** One command, or work in a snapshot that is mounted as ctr says. */
export type Step =
  | readonly [words: readonly string[]]
  | { readonly diff: readonly string[] }
  | { readonly within: string; readonly script: string };

const steps = (lines: readonly (string | Step)[]): Step[] =>
  lines.map((line) => (typeof line === "string" ? [line.split(" ")] : line));

/** Two runs differ by their clocks otherwise. */
const settle = "find . -newermt 2024-01-01 -exec touch -h -d @1700000000 {} +";

const listing = String.raw`
  stat -c '%a|%u|%g' .
  find . -mindepth 1 -printf '%P|%y|%m|%U|%G|%Ts|%n|%l\n' | sort
  find . -type f -print0 | sort -z | xargs -0 -r sha256sum
  find . \( -type b -o -type c \) -exec stat -c '%n|%t|%T' {} + | sort
  getfattr -R -h -d -m '^(user|security|trusted\.[^o])' -e hex . 2>/dev/null
`;

const lowest = String.raw`
  mkdir -p etc deep/a/b opaque/sub gone-dir many; chmod 1777 deep; chmod 0711 opaque
  echo root > etc/passwd; chmod 4755 etc/passwd; chown 1000:1001 deep/a
  echo one > hard; ln hard harder; ln -s nowhere dangling; ln -s /etc/passwd absolute
  mkfifo fifo; mknod null c 1 3; mknod disk b 8 17
  setfattr -n user.note -v value etc/passwd
  setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 hard
  head -c 1500000 /dev/zero | openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 2>/dev/null > large
  truncate -s 5M sparse; : > empty
  echo x > gone; echo x > gone-dir/x; echo x > opaque/x; echo "a file" > becomes-folder; mkdir becomes-file
  for i in $(seq 100); do echo $i > many/$i; done
  touch "with space" "ünï" "back\\slash" "$(printf 'n%.0s' $(seq 255))"
`;

const upper = `
  rm -r gone gone-dir opaque becomes-folder becomes-file; mkdir opaque becomes-folder; echo y > opaque/y
  echo file > becomes-file; echo inside > becomes-folder/inside
  echo more >> large; chmod 0600 etc/passwd; setfattr -x user.note etc/passwd; rm harder; mv deep/a deep/moved
  rm many/1*; ln etc/passwd linked; touch -d @1600000000 empty
`;

const longLabel = `a=${"x".repeat(5000)}`;

const oddNames = ["with space", "pä/th 🐚", "..", "a//b", 'quo"te \\back', "new\nline %s"];

/** Everything that `ctr snapshots` can do, right and wrong. */
export const allSteps = steps([
  "ls",
  "tree",
  "usage",
  "prepare work",
  "ls",
  "usage work",
  "usage -b work",
  "info work",
  "mounts /nowhere work",
  "prepare work",
  "view work",
  "prepare -t /nowhere target-printed",
  "prepare --mounts mounts-printed",
  "view --mounts view-printed",
  "view -t /nowhere view-target",
  "rm target-printed mounts-printed view-printed view-target",
  { within: "work", script: `${lowest}${settle}` },
  "usage -b work",
  { diff: ["work"] },
  "prepare child work",
  "view child work",
  "prepare child unknown",
  "view child unknown",
  "commit base unknown",
  "commit base work",
  "commit base work",
  "info work",
  "info base",
  "usage -b base",
  "usage -b",
  "mounts /nowhere base",
  "mounts /nowhere unknown",
  "mounts",
  "prepare base",
  "prepare second base",
  "commit base second",
  "commit again base",
  "prepare --mounts printed base",
  "view --mounts look base",
  "rm printed",
  { within: "look", script: listing },
  { within: "look", script: "touch file" },
  "usage -b look",
  "commit looked look",
  { within: "second", script: listing },
  "usage -b second",
  { within: "second", script: `${upper}${settle}` },
  { within: "second", script: listing },
  { diff: ["second"] },
  { diff: ["second", "base"] },
  { diff: ["base", "second"] },
  "commit upper second",
  { diff: ["upper"] },
  { diff: ["base"] },
  { diff: ["look"] },
  { diff: ["upper", "upper"] },
  { diff: ["--media-type", "application/vnd.oci.image.layer.v1.tar", "upper"] },
  { diff: ["--media-type", "application/x-unknown", "upper"] },
  { diff: ["--keep", "--label", "a=1", "--ref", "named", "upper"] },
  { diff: ["unknown"] },
  { diff: ["upper", "unknown"] },
  { diff: [] },
  "usage -b upper base look unknown",
  "usage upper base",
  "view top upper",
  { within: "top", script: listing },
  "mounts /nowhere top",
  "prepare third upper",
  { within: "third", script: `rm -r many; mkdir many; echo z > many/z; rm linked; ${settle}` },
  "commit highest third",
  "prepare fourth highest",
  { within: "fourth", script: listing },
  { diff: ["fourth", "base"] },
  { diff: ["highest"] },
  "mounts /nowhere fourth",
  "usage -b",
  "ls",
  "list",
  "tree",
  "info base",
  "label base a=1 b=2",
  "info base",
  [["label", "base", "a="]],
  "info base",
  "label base containerd.io/gc.root=now containerd.io/snapshot.ref=sha256:1",
  "info base",
  [["label", "base", longLabel]],
  "label look c=3",
  "info look",
  "label fourth",
  "label unknown a=1",
  "label base",
  "label",
  "info unknown",
  "info",
  "usage unknown",
  "rm base",
  "rm highest",
  "rm unknown",
  "rm look unknown top",
  "rm",
  "ls",
  "tree",
  ...oddNames.flatMap((name): Step[] => [
    [["prepare", "--", name]],
    [["info", "--", name]],
    [["mounts", "--", "/nowhere", name]],
    [["commit", "--", `${name}.done`, name]],
    [["view", "--", name, `${name}.done`]],
    [["rm", "--", `${name}.done`]],
  ]),
  [["prepare", ""]],
  [["view", ""]],
  [["commit", "", "fourth"]],
  [["info", ""]],
  [["prepare", "n".repeat(900)]],
  [["info", "n".repeat(900)]],
  "prepare",
  "commit one",
  "ls",
  "unpack sha256:12",
  "usage -b",
  ...oddNames.map((name): Step => [["rm", "--", name, `${name}.done`]]),
  [["rm", "n".repeat(900)]],
  ...["fourth", "highest", "top", "look", "upper", "base"].map((name): Step => [["rm", name]]),
  "ls",
  "tree",
]);

export async function ask(asker: Asker, step: Step): Promise<Said> {
  if ("diff" in step) return await asker.diff(...step.diff);
  if ("within" in step) return await asker.within(step.within, step.script);
  return await asker.snapshots(...step[0]);
}
