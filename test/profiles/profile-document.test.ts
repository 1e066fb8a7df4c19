import t from "tap";
import { LazuliError } from "../../src/errors/index.js";
import {
  decodeProfile,
  encodeProfile,
  PROFILE_BYTES_MAX,
  type ProfileEntry,
  type ProfileFile,
  profileDigest,
  usedEntries,
} from "../../src/profiles/index.js";
import { ENTRIES_MAX, PLANNED_BYTES_MAX } from "../../src/profiles/limits.js";
import { digestOf, sampleProfile } from "./sample.js";

t.test("decodeProfile() reads what encodeProfile() wrote, the same bytes for the same profile", async (t) => {
  for (const profile of [
    sampleProfile(),
    sampleProfile({ manifest: undefined, command: undefined, repository: "" }),
    sampleProfile({ files: [], entries: [] }),
    sampleProfile({ files: [{ layer: 0, path: 'opt/ä ö/naïve "name"', size: 1 }], entries: [] }),
  ]) {
    const bytes = encodeProfile(profile);
    t.same(decodeProfile(bytes), profile);
    t.same(encodeProfile(decodeProfile(bytes)), bytes);
    t.equal(profileDigest(decodeProfile(bytes)), profileDigest(profile));
  }
});

t.test("encodeProfile() cuts what is too much: first what the fewest starts read", async (t) => {
  const count = 40_000;
  const files = Array.from({ length: count }, (_, at): ProfileFile => {
    return { layer: at % 2, path: `usr/share/of/the/application/file-${at}`, size: 1000 };
  });
  const entries = files.map((_, file): ProfileEntry => {
    return { file, offset: 0, length: 1000, starts: file % 10 === 0 ? 4 : 1, timesMs: [file] };
  });
  const bytes = encodeProfile(sampleProfile({ files, entries, starts: 4 }));
  t.ok(bytes.length <= PROFILE_BYTES_MAX && bytes.length > PROFILE_BYTES_MAX * 0.85, `${bytes.length} bytes`);
  const kept = decodeProfile(bytes);
  t.equal(
    kept.entries.filter(({ starts }) => starts === 4).length,
    count / 10,
    "all of the common ones stay",
  );
  t.equal(kept.files.length, kept.entries.length, "and no file without an entry");
});

type Change = (fields: Record<string, unknown>) => void;
type Tuple = unknown[];

function changed(change: Change): Buffer {
  const fields = JSON.parse(encodeProfile(sampleProfile()).toString()) as Record<string, unknown>;
  change(fields);
  return Buffer.from(JSON.stringify(fields));
}

function file(at: number, value: unknown): Buffer {
  return changed(({ files }) => {
    (files as Tuple[])[0]![at] = value;
  });
}

function entry(at: number, value: unknown): Buffer {
  return changed(({ entries }) => {
    (entries as Tuple[])[0]![at] = value;
  });
}

function field(name: string, value: unknown): Buffer {
  return changed((fields) => {
    fields[name] = value;
  });
}

const whole = encodeProfile(sampleProfile()).toString();

/** What strangers may send, and the word that says why it is refused. */
const hostile: Readonly<Record<string, readonly [Buffer, string]>> = {
  "no bytes": [Buffer.alloc(0), "json-invalid"],
  "no JSON": [Buffer.from("profile"), "json-invalid"],
  "cut short": [Buffer.from(whole.slice(0, -5)), "json-invalid"],
  "no UTF-8": [Buffer.concat([Buffer.from(whole), Buffer.from([0xff])]), "json-invalid"],
  "a list": [Buffer.from("[]"), "profile-invalid"],
  null: [Buffer.from("null"), "profile-invalid"],
  "deep JSON": [Buffer.from(`${"[".repeat(100_000)}${"]".repeat(100_000)}`), "json-too-deep"],
  "too many bytes": [Buffer.from(`${whole}${" ".repeat(PROFILE_BYTES_MAX)}`), "json-too-large"],
  "a key twice": [Buffer.from(whole.replace('"version":1', '"version":1,"version":1')), "json-duplicate-key"],
  "a key that none has": [field("origin", "x"), "profile-invalid"],
  "a key __proto__": [
    Buffer.from(whole.replace('"version":1', '"version":1,"__proto__":{"starts":1}')),
    "profile-invalid",
  ],
  "another version": [field("version", 2), "profile-invalid"],
  "a version as text": [field("version", "1"), "profile-invalid"],
  "a repository that is none": [field("repository", "../../etc"), "reference-invalid"],
  "a repository with a tag": [field("repository", "registry.example/app:1"), "profile-invalid"],
  "a repository that is no text": [field("repository", 5), "profile-invalid"],
  "a manifest that is no digest": [field("manifest", "sha256:zz"), "digest-invalid"],
  "no layers": [field("layers", []), "profile-invalid"],
  "a layer that is no digest": [field("layers", ["../../../etc/passwd"]), "digest-invalid"],
  "a layer twice": [field("layers", [digestOf("a"), digestOf("a")]), "profile-invalid"],
  "too many layers": [
    field(
      "layers",
      Array.from({ length: 513 }, (_, at) => digestOf(String(at))),
    ),
    "profile-invalid",
  ],
  "a command that is no list": [field("command", "sh -c"), "profile-invalid"],
  "a command of numbers": [field("command", [1]), "profile-invalid"],
  "a command without words": [field("command", []), "profile-invalid"],
  "a command too long": [field("command", ["x".repeat(5000)]), "profile-invalid"],
  "no starts": [field("starts", 0), "profile-invalid"],
  "starts without end": [field("starts", 2 ** 40), "profile-invalid"],
  "files that are no list": [field("files", { length: 3 }), "profile-invalid"],
  "a file with a fourth value": [file(3, 1), "profile-invalid"],
  "a file of no layer": [file(0, 2), "profile-invalid"],
  "a file of a layer below 0": [file(0, -1), "profile-invalid"],
  "an absolute path": [file(1, "/etc/passwd"), "profile-invalid"],
  "a path with ..": [file(1, "lib/../../etc/passwd"), "profile-invalid"],
  "a path with .": [file(1, "./lib"), "profile-invalid"],
  "a path with an empty name": [file(1, "lib//x"), "profile-invalid"],
  "a path with a control character": [file(1, "lib/\u001b[2J"), "profile-invalid"],
  "a path with a zero byte": [file(1, "lib/\0x"), "profile-invalid"],
  "a path with half a character": [Buffer.from(whole.replace("lib/libc", "lib/\\ud800c")), "profile-invalid"],
  "a name too long": [file(1, "n".repeat(256)), "profile-invalid"],
  "a path too long": [file(1, "n/".repeat(3000)), "profile-invalid"],
  "a path that is no text": [file(1, 7), "profile-invalid"],
  "a file without bytes": [file(2, 0), "profile-invalid"],
  "a size beyond numbers": [file(2, 2 ** 60), "profile-invalid"],
  "a size with a fraction": [file(2, 1.5), "profile-invalid"],
  "an entry of no file": [entry(0, 2), "profile-invalid"],
  "an entry behind its file": [entry(1, 10_000), "profile-invalid"],
  "an entry below 0": [entry(1, -1), "profile-invalid"],
  "an entry longer than its file": [entry(2, 10_001), "profile-invalid"],
  "an entry without length": [entry(2, 0), "profile-invalid"],
  "an entry whose end overflows": [entry(2, Number.MAX_SAFE_INTEGER), "profile-invalid"],
  "an entry of more starts than there were": [entry(3, 2), "profile-invalid"],
  "a time below 0": [entry(4, -1), "profile-invalid"],
  "a time of days": [entry(4, 1e9), "profile-invalid"],
  "an entry without time": [
    changed((fields) => {
      fields["entries"] = [[0, 0, 1, 1]];
    }),
    "profile-invalid",
  ],
  "an entry with many times": [
    changed((fields) => {
      fields["entries"] = [[0, 0, 1, 1, ...Array(50).fill(1)]];
    }),
    "profile-invalid",
  ],
  "too many entries": [
    changed((fields) => {
      fields["entries"] = Array(ENTRIES_MAX + 1).fill([0, 0, 1, 1, 1]);
    }),
    "profile-invalid",
  ],
  "entries as objects": [field("entries", [{ file: 0 }]), "profile-invalid"],
};

for (const [name, [bytes, reason]] of Object.entries(hostile)) {
  t.test(`decodeProfile() refuses ${name}`, async (t) => {
    try {
      decodeProfile(bytes);
      t.fail("it was taken");
    } catch (thrown) {
      t.equal(LazuliError.from(thrown).reason, reason, String(thrown));
    }
  });
}

t.test("decodeProfile() bounds what overlapping entries ask for", async (t) => {
  const size = 64 * 1024 ** 2;
  const entries = Array.from({ length: 5000 }, (_, at) => [0, 0, size, 1, at % 1000]);
  const bytes = changed((fields) => {
    fields["files"] = [[0, "big", size]];
    fields["entries"] = entries;
  });
  const used = usedEntries(decodeProfile(bytes));
  t.ok(used.length * size <= PLANNED_BYTES_MAX, `${used.length} of 5000 are used`);
});
