import t from "tap";
import { parseJson, readJsonArray } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";

const budget = { maxBytes: 100_000, maxDepth: 8, maxNodes: 5000 };
const parse = (text: string): unknown => parseJson(Buffer.from(text), budget);

t.test("parseJson() gives what JSON.parse gives", async (t) => {
  const texts = [
    "null",
    "0",
    '"a"',
    "[]",
    "{}",
    ' { "a" : [ 1 , { "b" : "}],{[\\"\\\\" } ] } ',
    '{"a":{"x":1},"b":{"x":2},"c":[{"x":1},{"x":2}]}',
    '{"\\u0061":1,"b":"\\ud83d\\ude00","ü":"\\n"}',
    `{${Array.from({ length: 100 }, (_, index) => `"k${index}":${index}`).join()}}`,
  ];
  for (const text of texts) t.same(parse(text), JSON.parse(text), text.slice(0, 60));
});

t.test("parseJson() refuses the same key twice, however it is written", async (t) => {
  const many = Array.from({ length: 40 }, (_, index) => `"k${index}":0`).join();
  const texts = [
    '{"a":1,"a":2}',
    '{"a":1,"b":2,"a":3}',
    '{"a":1,"\\u0061":2}',
    '{"\\u0061":1,"a":2}',
    '[{"x":{"a":[{"a":1}],"a":2}}]',
    '{"__proto__":1,"__proto__":2}',
    `{${many},"k3":1}`,
    `{${many},"k39":1}`,
  ];
  for (const text of texts) {
    t.throws(
      () => parse(text),
      { code: "INVALID_ARGUMENT", reason: "json-duplicate-key" },
      text.slice(0, 60),
    );
  }
});

t.test("parseJson() leaves prototypes alone", async (t) => {
  const value = parse(
    '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
  ) as object;
  t.equal(Object.getPrototypeOf(value), Object.prototype);
  t.equal(({} as { polluted?: boolean }).polluted, undefined);
});

t.test("parseJson() refuses what is above its budget", async (t) => {
  const cases: readonly [string, string][] = [
    [`"${"a".repeat(100_000)}"`, "json-too-large"],
    ["[".repeat(9) + "]".repeat(9), "json-too-deep"],
    [`${'{"a":'.repeat(9)}1${"}".repeat(9)}`, "json-too-deep"],
    [`[${"0,".repeat(5000)}0]`, "json-too-many-values"],
  ];
  for (const [text, reason] of cases) t.throws(() => parse(text), { code: "RESOURCE_EXHAUSTED", reason });
  t.same(parse("[".repeat(8) + "]".repeat(8)), JSON.parse("[[[[[[[[]]]]]]]]"));
});

t.test("parseJson() refuses what is no JSON", async (t) => {
  const texts = [
    "",
    "{",
    "]",
    '"',
    '"\\',
    '{"a"',
    "{]",
    "[}",
    "[1}",
    '{"a":1]',
    "[1,]",
    "{,}",
    "1 2",
    "NaN",
    "\ufeff{}",
    '{"\\x":1}',
  ];
  for (const text of texts) {
    t.throws(() => parse(text), { code: "INVALID_ARGUMENT", reason: "json-invalid" }, text);
  }
  t.throws(() => parseJson(Buffer.from([0x22, 0xff, 0x22]), budget), {
    code: "INVALID_ARGUMENT",
    reason: "json-invalid",
  });
});

t.test("readJsonArray() gives the elements in order and the rest as the head", async (t) => {
  for (const count of [0, 1, 511, 512, 513, 1024, 1500]) {
    const entries = Array.from({ length: count }, (_, index) => ({ index, list: [1, "],["] }));
    const text = JSON.stringify({ before: [1, 2], entries, after: { entries: [3] } }, undefined, 1);
    const reader = readJsonArray(Buffer.from(text), "entries", { ...budget, maxBytes: 1e6, maxNodes: 1e5 });
    t.same(reader.head, { before: [1, 2], entries: [], after: { entries: [3] } });
    t.equal(reader.count, count);
    t.same([...reader.batches].flat(), entries, `${count} elements`);
  }
});

t.test("readJsonArray() accepts nothing that JSON.parse refuses", async (t) => {
  const pieces = ["{", "}", "[", "]", ",", ":", '"entries"', '"a"', "1", " "];
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  let accepted = 0;
  for (let round = 0; round < 60_000; round++) {
    const words = Array.from({ length: 1 + random(8) }, () => pieces[random(pieces.length)]);
    const text = random(2) === 0 ? words.join("") : `{"entries":[${words.join("")}`;
    let wanted: unknown;
    try {
      wanted = JSON.parse(text);
    } catch {
      // Then ours must refuse it as well.
      wanted = undefined;
    }
    let actual: unknown;
    try {
      const { head, batches } = readJsonArray(Buffer.from(text), "entries", budget);
      actual = head;
      const elements = [...batches].flat();
      if (elements.length > 0) (actual as { entries: unknown }).entries = elements;
    } catch (error) {
      if (!(error instanceof LazuliError)) throw error;
      actual = error.reason === "json-duplicate-key" ? wanted : undefined;
    }
    if (JSON.stringify(actual) !== JSON.stringify(wanted)) t.fail(`${text} gives ${JSON.stringify(actual)}`);
    if (wanted !== undefined) accepted += 1;
  }
  t.ok(accepted > 100, `${accepted} of the random texts are JSON`);
});
