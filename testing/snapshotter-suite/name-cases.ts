import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cases, type SuiteCases } from "./suite-case.js";
import type { SuiteRig } from "./suite-rig.js";

/** With what a client may put before it (`extract-<time>-<random> sha256:<64 digits>`), a name of ours is much shorter. */
const NAME_BYTES = 850;

const oddNames = [
  "with spaces  in it",
  "a/path/../../../etc/passwd",
  ".",
  "..",
  "/",
  "-rf",
  "quo\"ted\\and'ticked`$(x)",
  "tab\tand\nline",
  "café \u{1F433} ￿",
  "%2e%2e%00",
  "comma,colon:equals=",
  "*?[a]{b}",
  "__proto__",
  "constructor",
  "sha256:0000000000000000000000000000000000000000000000000000000000000000",
  "extract-123456789-AbCd sha256:1111111111111111111111111111111111111111111111111111111111111111",
  "control\u0007\u001f\u007f",
  "n".repeat(NAME_BYTES),
];

async function odd(rig: SuiteRig): Promise<void> {
  const { snapshotter, t } = rig;
  for (const [index, stem] of oddNames.entries()) {
    const active = `${rig.prefix}${stem}`;
    const committed = `${active}!`;
    const child = `${active}?`;
    const shown = JSON.stringify(stem.slice(0, 30));
    await rig.prepare(active);
    await rig.mounted(active, async (folder) => await writeFile(join(folder, `file-${index}`), "x"));
    await rig.commit(committed, active);
    await rig.view(child, committed);
    t.match(await snapshotter.stat(child), { name: child, parent: committed, kind: "view" }, shown);
    t.same(await rig.mounted(child, async (folder) => await readdir(folder)), [`file-${index}`]);
    const names = (await rig.walked()).map(({ name }) => name);
    t.ok(names.includes(child) && names.includes(committed), `${shown} is walked`);
    await rig.refuses("an odd name twice", "ALREADY_EXISTS", rig.prepare(committed));
    await snapshotter.remove(child);
    await snapshotter.remove(committed);
    t.ok(!(await rig.has(committed)), `${shown} is gone`);
  }
}

/** Cases about names: any text is one, and keys and names share one space. */
export const nameCases: SuiteCases = cases([], {
  OddNames: odd,
  BareNames: async (rig) => {
    for (const name of ["..", "/", "__proto__", "constructor", "0", " "]) {
      await rig.prepare(name);
      rig.t.match(await rig.snapshotter.stat(name), { name, kind: "active" });
      await rig.snapshotter.remove(name);
      await rig.refuses("a bare name that is removed", "NOT_FOUND", rig.snapshotter.stat(name));
    }
  },
  LowestCharacters: async (rig) => {
    for (const code of [1, 2, 3, 4]) {
      const name = `${rig.prefix}${String.fromCharCode(code)}`;
      if (rig.traits.takesLowestCharacters) {
        await rig.prepare(name);
        rig.t.match(await rig.snapshotter.stat(name), { name, kind: "active" });
      } else await rig.refuses(`the character ${code}`, "INVALID_ARGUMENT", rig.prepare(name));
    }
  },
  NamesDifferByBytes: async (rig) => {
    const names = ["x", "X", "x ", "é", "e\u0301"].map((stem) => `${rig.prefix}${stem}`);
    for (const name of names) await rig.prepare(name);
    rig.t.same(await rig.ownNames(), [...names].sort(), "no two are the same");
  },
  NoName: async (rig) => {
    await rig.refuses("prepare", "INVALID_ARGUMENT", rig.prepare(""));
    await rig.refuses("view", "INVALID_ARGUMENT", rig.view(""));
    const key = rig.name("key");
    await rig.prepare(key);
    await rig.refuses("commit", "INVALID_ARGUMENT", rig.commit("", key));
    rig.t.ok(await rig.has(key), "the key is still there");
    await rig.refuses("stat", "NOT_FOUND", rig.snapshotter.stat(""));
  },
  OneSpace: async (rig) => {
    const [key, name, other] = [rig.name("key"), rig.name("name"), rig.name("other")];
    await rig.prepare(key);
    await rig.commit(name, key);
    await rig.refuses("a key like a committed name", "ALREADY_EXISTS", rig.prepare(name));
    await rig.prepare(key);
    await rig.prepare(other);
    await rig.refuses("a committed name like a key", "ALREADY_EXISTS", rig.commit(key, other));
    await rig.snapshotter.remove(key);
    await rig.commit(key, other);
    rig.t.match(await rig.snapshotter.stat(key), { kind: "committed" }, "a free key is a free name");
  },
});
