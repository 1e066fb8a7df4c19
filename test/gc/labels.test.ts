import t from "tap";
import { type LabelMeaning, parseGoDuration, parseRfc3339, readLabel } from "../../src/gc/index.js";

const second = 1_000_000_000n;
const hour = 3600n * second;

function to(sort: string, key: string): LabelMeaning {
  return { kind: "to", sort, key } as LabelMeaning;
}

function from(sort: string, key: string): LabelMeaning {
  return { kind: "from", sort, key } as LabelMeaning;
}

function condition(sort: string, key: string, ...conditions: ["<" | ">", bigint][]): LabelMeaning {
  return {
    kind: "condition",
    sort,
    key,
    conditions: conditions.map(([operator, nanoseconds]) => ({ operator, nanoseconds })),
  } as LabelMeaning;
}

/** Name behind `containerd.io/`, value, meaning. */
const cases: readonly (readonly [string, string, LabelMeaning | undefined])[] = [
  ["gc.root", "", { kind: "root" }],
  ["gc.root", "2020-01-01T00:00:00Z", { kind: "root" }],
  ["gc.root.mine", "x", { kind: "root" }],
  ["gc.flat", "", { kind: "flat" }],
  ["gc.flat.x", "", undefined],
  ["gc.expire", "1970-01-01T00:00:01Z", { kind: "expire", at: second }],
  ["gc.expire", "tomorrow", undefined],
  ["gc.expire.x", "1970-01-01T00:00:01Z", undefined],
  ["gc.ref.content", "sha256:1", to("content", "sha256:1")],
  ["gc.ref.content.config", "sha256:1", to("content", "sha256:1")],
  ["gc.ref.content.l.0", "sha256:1", to("content", "sha256:1")],
  ["gc.ref.content/x", "sha256:1", to("content", "sha256:1")],
  ["gc.ref.content.", "sha256:1", to("content", "sha256:1")],
  ["gc.ref.contents", "sha256:1", undefined],
  ["gc.ref.content-x", "sha256:1", undefined],
  ["gc.ref.image", "a/b:1", to("image", "a/b:1")],
  ["gc.ref.image.x", "a/b:1", to("image", "a/b:1")],
  ["gc.ref.images", "a/b:1", undefined],
  ["gc.ref.snapshot.overlayfs", "k", to("snapshot/overlayfs", "k")],
  ["gc.ref.snapshot.overlayfs/1", "k/2", to("snapshot/overlayfs", "k/2")],
  ["gc.ref.snapshot.a.b/c/d", "k", to("snapshot/a.b", "k")],
  ["gc.ref.snapshot", "k", undefined],
  ["gc.ref.container", "c", undefined],
  ["gc.ref.layer", "l", to("resource/layer", "l")],
  ["gc.ref.layer/2", "l", to("resource/layer", "l")],
  ["gc.ref.layers", "l", undefined],
  ["gc.ref.trace", "l", undefined],
  ["gc.bref.container", "c", from("container", "c")],
  ["gc.bref.container.x", "c", from("container", "c")],
  ["gc.bref.containers", "c", undefined],
  ["gc.bref.content/1", "sha256:1", from("content", "sha256:1")],
  ["gc.bref.image", "i", from("image", "i")],
  ["gc.bref.snapshot.native/x", "k", from("snapshot/native", "k")],
  ["gc.bref.layer", "l", undefined],
  ["gc.cond.snapshot.ovl", "usedat<2h|k", condition("snapshot/ovl", "k", ["<", 2n * hour])],
  ["gc.cond.snapshot.ovl/x", "usedat>1h30m|k|2", condition("snapshot/ovl", "k|2", [">", 90n * 60n * second])],
  [
    "gc.cond.snapshot/ovl",
    "usedat<1s,other=1,usedat>2h,usedat<=3s|k",
    condition("snapshot/ovl", "k", ["<", second], [">", 2n * hour]),
  ],
  ["gc.cond.snapshot", "usedat<1s|k", condition("snapshot/", "k", ["<", second])],
  ["gc.cond.snapshot.ovl", "usedat<1s", undefined],
  ["gc.cond.snapshot.ovl", "usedat=1s|k", undefined],
  ["gc.cond.snapshot.ovl", "usedat<soon|k", undefined],
  ["gc.cond.value-usedat", "1970-01-01T01:00:00+01:00", { kind: "used-at", at: 0n }],
  ["gc.cond.value-usedat", "0", undefined],
  ["gc.other", "x", undefined],
  ["snapshot.ref", "x", undefined],
];

t.test(
  "readLabel() knows every label of the collection, and the separators behind fixed names",
  async (t) => {
    for (const [name, value, meaning] of cases) {
      t.same(readLabel(`containerd.io/${name}`, value, ["layer"]), meaning, `${name} = ${value}`);
    }
    t.equal(readLabel("example.org/containerd.io/gc.root", ""), undefined, "the prefix stands at the start");
  },
);

t.test("parseRfc3339() reads times as Go does, to the nanosecond", async (t) => {
  const valid: readonly (readonly [string, bigint])[] = [
    ["1970-01-01T00:00:00Z", 0n],
    ["1970-01-01T00:00:00.000000001Z", 1n],
    ["1970-01-01T00:00:00.5+00:00", second / 2n],
    ["1969-12-31T23:59:59Z", -second],
    ["2024-02-29T12:00:00-02:30", BigInt(Date.UTC(2024, 1, 29, 14, 30)) * 1_000_000n],
    ["0001-01-01T00:00:00Z", -62_135_596_800n * second],
  ];
  for (const [text, nanoseconds] of valid) t.equal(parseRfc3339(text), nanoseconds, text);
  const wrong = [
    "",
    "2023-02-29T00:00:00Z",
    "2023-13-01T00:00:00Z",
    "2023-01-01T24:00:00Z",
    "2023-01-01T00:60:00Z",
    "2023-01-01 00:00:00Z",
    "2023-01-01T00:00:00",
    "2023-01-01T00:00:00z",
    " 2023-01-01T00:00:00Z",
    `2023-01-01T00:00:00.${"0".repeat(100)}Z`,
  ];
  for (const text of wrong) t.equal(parseRfc3339(text), undefined, text);
});

t.test("parseGoDuration() reads durations as Go does", async (t) => {
  const valid: readonly (readonly [string, bigint])[] = [
    ["0", 0n],
    ["2h", 2n * hour],
    ["1h30m", hour + 30n * 60n * second],
    ["-1.5s", (-3n * second) / 2n],
    ["+300ms", 300_000_000n],
    [".5s", second / 2n],
    ["1µs", 1000n],
    ["7ns", 7n],
  ];
  for (const [text, nanoseconds] of valid) t.equal(parseGoDuration(text), nanoseconds, text);
  for (const text of ["", "1", "h", "1d", "1h ", "--1h", ".s", "9999999999h"]) {
    t.equal(parseGoDuration(text), undefined, text);
  }
});
