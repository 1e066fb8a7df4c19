import type { AnsweredRange, Behaviour } from "../behaviour.js";
import { always, type Misbehaviour, once, outlived, refused } from "./misbehaviour.js";

const says = (contentRange: (range: AnsweredRange) => string | null): Behaviour => ({ contentRange });
const wrong = "content-range-wrong";
const badParts = "multipart-wrong";

/** A total that is another one each time. */
function changingTotal(): Behaviour {
  let grown = 0;
  return says(({ start, end, total }) => {
    grown += 1;
    return `bytes ${start}-${end}/${total + grown}`;
  });
}

/** Ranges that are answered in a way of their own. */
export const rangeMisbehaviours: readonly Misbehaviour[] = [
  outlived("N-01", "200 with the whole blob", always({ ignoreRange: true })),
  outlived(
    "N-02",
    "200 with the whole blob, no length",
    always({ ignoreRange: true, contentLength: "none" }),
  ),
  outlived(
    "N-03",
    "200 with the whole blob, cut after 500 bytes, once",
    once({ ignoreRange: true, cutAfter: 500 }),
  ),
  refused("N-04", "200 with a text for any range", {
    reason: "blob-size-wrong",
    rules: always({ status: 200, body: "short" }),
  }),
  refused("N-05", "206 without Content-Range", { reason: wrong, rules: always(says(() => null)) }),
  outlived("N-06", "206 without Content-Range, once", once(says(() => null))),
  refused("N-07", "206 that says it starts a byte earlier", {
    reason: wrong,
    rules: always(says(({ start, end, total }) => `bytes ${start - 1}-${end}/${total}`)),
  }),
  refused("N-08", "206 that says it ends later", {
    reason: wrong,
    rules: always(says(({ start, end, total }) => `bytes ${start}-${end + 9}/${total}`)),
  }),
  refused("N-09", "206 with another total", {
    reason: wrong,
    rules: always(says(({ start, end, total }) => `bytes ${start}-${end}/${total + 1}`)),
  }),
  outlived("N-10", "206 with an unknown total", always(says(({ start, end }) => `bytes ${start}-${end}/*`))),
  refused("N-11", "a total that changes between requests", { reason: wrong, rules: always(changingTotal()) }),
  refused("N-12", "206 in another unit", {
    reason: wrong,
    rules: always(says(({ start, end, total }) => `items ${start}-${end}/${total}`)),
  }),
  refused("N-13", "206 with two ranges in one header", {
    reason: wrong,
    rules: always(says(({ start, end, total }) => `bytes ${start}-${end}/${total}, 0-1/${total}`)),
  }),
  refused("N-14", "206 with an end of 2^64", {
    reason: wrong,
    rules: always(says(({ start, total }) => `bytes ${start}-18446744073709551615/${total}`)),
  }),
  refused("N-15", "206 with a negative start", {
    reason: wrong,
    rules: always(says(({ end, total }) => `bytes -1-${end}/${total}`)),
  }),
  refused("N-16", "206 that says it is the first bytes", {
    reason: wrong,
    rules: always(says(({ start, end, total }) => `bytes 7-${end - start + 7}/${total}`)),
  }),
  refused("N-17", "206 that echoes an open range", {
    reason: wrong,
    rules: always(says(({ start, total }) => `bytes ${start}-/${total}`)),
  }),
  outlived("N-18", "at most 16 KiB of a range, truly said", always({ rangeBytesMax: 16_384 })),
  outlived("N-19", "multipart with the one right part", always({ multipart: {} })),
  refused("N-20", "multipart with the part twice", {
    reason: badParts,
    rules: always({ multipart: { parts: 2 } }),
  }),
  refused("N-21", "multipart with another boundary", {
    reason: badParts,
    rules: always({ multipart: { boundary: "another" } }),
  }),
  refused("N-22", "multipart with another range inside", {
    reason: wrong,
    rules: always({ multipart: { contentRange: "bytes 1-2/3" } }),
  }),
  refused("N-23", "multipart without an end", {
    reason: badParts,
    rules: always({ multipart: { end: false } }),
  }),
  refused("N-24", "multipart type without a boundary", {
    reason: wrong,
    rules: always({ headers: { "content-type": "multipart/byteranges", "content-range": null } }),
  }),
  refused("N-25", "multipart with headers that never end", {
    reason: badParts,
    rules: always({
      headers: { "content-type": "multipart/byteranges; boundary=b", "content-range": null },
      body: `--b\r\n${"x".repeat(100_000)}`,
    }),
  }),
  refused("N-26", "416 for a range that exists", {
    reason: "range-not-satisfiable",
    rules: always({ status: 416 }),
  }),
  outlived("N-27", "400 for a range, once", once({ status: 400 }), {
    verdicts: { pull: "unexpected-status" },
  }),
  refused("N-28", "400 for any range", { reason: "unexpected-status", rules: always({ status: 400 }) }),
  refused("N-29", "204", { reason: "unexpected-status", rules: always({ status: 204 }) }),
];
