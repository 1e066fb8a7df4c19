import t from "tap";
import { parseFilters } from "../../src/filters/filter.js";
import { Pattern } from "../../src/filters/pattern.js";

const thing: Readonly<Record<string, string>> = {
  name: "sha256:abc",
  kind: "active",
  "labels.containerd.io/snapshot.ref": "sha256:def",
  "labels.l": "2",
  "labels.quote": 'a "b" c',
  "labels.é": "ü",
};

function matches(...filters: string[]): boolean {
  return parseFilters(filters)((path) => thing[path.join(".")]);
}

t.test("parseFilters() matches as containerd's filters do", async (t) => {
  t.ok(matches());
  t.ok(matches(""));
  t.ok(matches("name"));
  t.notOk(matches("parent"));
  t.ok(matches("name==sha256:abc"));
  t.notOk(matches("name==sha256:ab"));
  t.ok(matches('labels."containerd.io/snapshot.ref"==sha256:def,name=="sha256:abc"'));
  t.notOk(matches('labels."containerd.io/snapshot.ref"==sha256:def,parent=="x"'));
  t.ok(matches("kind==view", "kind==active"), "any of several filters");
  t.notOk(matches("kind==active,labels.l==3"), "all of one filter");
  t.ok(matches('parent!="x"'), "what is missing is not x");
  t.notOk(matches('parent!=""'));
  t.notOk(matches('parent==""'), "what is missing equals nothing");
  t.ok(matches('labels.quote=="a \\"b\\" c"'));
  t.ok(matches('labels.quote=="\\x61 \\u0022b\\042 c"'), "escapes as Go has them");
  t.ok(matches('labels."é"=="\\xc3\\xbc"'), "escaped bytes are UTF-8");
  t.ok(matches("name~=^sha256:[a-c]+$"));
  t.ok(matches("name~=/a.c/"));
  t.ok(matches("name~=|256:a|"));
  t.notOk(matches("name~=^abc"));
});

t.test(
  "parseFilters() allows spaces before fields, operators and values, as clients send them",
  async (t) => {
    const matches = parseFilters([" type==io.containerd.snapshotter.v1, id == overlayfs,labels. a ~= ^b"]);
    const fields: Record<string, string> = { type: "io.containerd.snapshotter.v1", id: "overlayfs" };
    const read = (a: string) => (path: readonly string[]) => (path[0] === "labels" ? a : fields[path[0]!]);
    t.ok(matches(read("bc")));
    t.notOk(matches(read("cb")));
  },
);

t.test("parseFilters() refuses what is no filter", async (t) => {
  for (const text of [
    "==x",
    "name=x",
    "name==",
    "name ",
    "name==x ",
    "name==x ,name",
    "name . x==y",
    "name==a,",
    ",name",
    "name.",
    "name b",
    'name=="open',
    'name=="\\q"',
    'name=="\\x1"',
    'name=="\\U00110000"',
    "name~=/open",
    "name~=(",
    "9name",
    `name==${"x".repeat(20_000)}`,
  ]) {
    t.throws(
      () => parseFilters([text]),
      { code: "INVALID_ARGUMENT", reason: "filter-invalid" },
      text.slice(0, 40),
    );
  }
  for (const [text, message] of [
    ["id===", '[id >|=|< ==]: unsupported operator "==="'],
    ["==", "[ >|=|< =]: expected field or quoted"],
    ["name==a,", "[name==a,]: expected field or quoted"],
    ["digest=~", '[digest >|=|< ~]: unsupported operator "=~"'],
    ['labels."x', '[labels. >|"|< x]: quoted literal not terminated'],
    ["id==", "[id==]: expected value or quoted"],
    ["id==/a/", "[id== >|/|< a/]: invalid quote encountered"],
    ["id b", '[id  >|b|< ]: expected an operator ("=="|"!="|"~=")'],
    ["id==a b", "[id==a >| |< b]: unexpected input:  "],
  ] as const) {
    t.throws(() => parseFilters([text]), { message: `filters: parse error: ${message}` }, text);
  }
  t.throws(() => parseFilters(Array.from({ length: 1025 }, () => "name")), { code: "INVALID_ARGUMENT" });
});

t.test("Pattern finds what JavaScript's own expressions find", async (t) => {
  const texts = ["", "a", "ab", "aab", "abc", "b", "aaab", "a.b", "a\nb", "x1y22", "é", "-]"];
  const patterns = ["a", "^a", "b$", "^$", "a*b", "^a+b$", "a?b", "a|b", "^(ab|b)$", "^(a|ab)(c|bcd)?$"];
  patterns.push(
    "a.b",
    "[a-c]+",
    "[^a]",
    "\\d+",
    "^\\w+$",
    "\\.",
    "(?:ab){2}",
    "a{2}",
    "a{2,}b",
    "^a{1,2}b",
    "(a*)*b",
  );
  patterns.push("", "(|a)+", "[\\d.]", "[]-]", "a{", "x\\dy", "\\s", "[^\\w]", "a+?b", "^(?:a|b|c)*$", "é");
  for (const pattern of patterns) {
    // JavaScript reads a bracket that opens a set and an open brace in its own way.
    const own = new RegExp(pattern.replace("[]-]", "[\\]\\-]").replace("a{", "a{"), "");
    for (const text of texts) {
      t.equal(new Pattern(pattern).matches(text), own.test(text), `/${pattern}/ in ${JSON.stringify(text)}`);
    }
  }
});

t.test("Pattern refuses what it can't bound or does not know", async (t) => {
  const refused = [
    "(a",
    "a)",
    "[a",
    "*a",
    "a**",
    "a{2}{3}",
    "\\1",
    "(?=a)",
    "(?i)a",
    "[b-a]",
    "[[:alpha:]]",
    "\\",
  ];
  refused.push(
    "a{1001}",
    "a{3,2}",
    "(a{100}){100}",
    `${"(".repeat(40)}${")".repeat(40)}`,
    "x".repeat(1025),
    "\\q",
  );
  for (const pattern of refused) {
    t.throws(
      () => new Pattern(pattern),
      { code: "INVALID_ARGUMENT", reason: "filter-invalid" },
      pattern.slice(0, 20),
    );
  }
});

t.test("Pattern does not try all ways one after the other", async (t) => {
  // Backtracking takes 2^4000 steps for this one.
  t.notOk(new Pattern("^(a|a)*(a+)+$").matches(`${"a".repeat(4000)}b`));
});
