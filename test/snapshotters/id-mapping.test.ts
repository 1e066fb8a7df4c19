import t from "tap";
import { idMappingOptions, mapId, mappedRoot, parseIdRanges } from "../../src/mounts/index.js";
import { GID_MAPPING_LABEL, idMappingOf, UID_MAPPING_LABEL } from "../../src/snapshotters/id-mapping.js";

t.test("idMappingOf() reads containerd's labels, and idMappingOptions() writes its options", (t) => {
  const labels = { [UID_MAPPING_LABEL]: "0:666:1000,1000:6666:64536", [GID_MAPPING_LABEL]: "0:100000:65536" };
  const mapping = idMappingOf({ ...labels, other: "label" })!;
  t.same(mapping.uids, [
    { inside: 0, outside: 666, size: 1000 },
    { inside: 1000, outside: 6666, size: 64_536 },
  ]);
  t.same(idMappingOptions(mapping), ["uidmap=0:666:1000,1000:6666:64536", "gidmap=0:100000:65536"]);
  t.same(mappedRoot(mapping), { uid: 666, gid: 100_000 });
  t.equal(idMappingOf({ other: "label" }), undefined);
  for (const missing of [UID_MAPPING_LABEL, GID_MAPPING_LABEL]) {
    const rest = Object.fromEntries(Object.entries(labels).filter(([key]) => key !== missing));
    t.throws(() => idMappingOf(rest), {
      code: "INVALID_ARGUMENT",
      reason: "id-mapping-invalid",
      subject: missing,
    });
  }
  t.end();
});

t.test("parseIdRanges() refuses what the kernel would", (t) => {
  const many = Array.from({ length: 341 }, (_, index) => `${index}:${index}:1`).join(",");
  const wrong = [
    "",
    "0:1",
    "0:1:2:3",
    "0:1:0",
    "-1:0:1",
    "0:x:1",
    " 0:0:1",
    "0:0:1,",
    "4294967295:0:1",
    "0:4294967294:2",
    "99999999999:0:1",
    "0:0:10,9:100:1",
    "0:0:10,10:9:1",
    many,
    "1".repeat(5000),
  ];
  for (const text of wrong) {
    t.throws(
      () => parseIdRanges(text),
      { code: "INVALID_ARGUMENT", reason: "id-mapping-invalid" },
      text.slice(0, 40),
    );
  }
  t.same(parseIdRanges("0:0:4294967295"), [{ inside: 0, outside: 0, size: 4_294_967_295 }]);
  t.equal(parseIdRanges(many.slice(0, many.lastIndexOf(","))).length, 340);
  t.end();
});

t.test("mapId() maps within ranges only, and mappedRoot() needs one for 0", (t) => {
  const ranges = parseIdRanges("10:1000:5,0:7:1");
  t.same(
    [0, 1, 10, 14, 15].map((id) => mapId(ranges, id)),
    [7, undefined, 1000, 1004, undefined],
  );
  const withoutRoot = parseIdRanges("1:1:1");
  t.throws(() => mappedRoot({ uids: ranges, gids: withoutRoot }), {
    code: "FAILED_PRECONDITION",
    reason: "id-unmapped",
    message: /gid 0/,
  });
  t.end();
});
