import { gzipSync } from "node:zlib";
import { always, fails, type HostileCase, once, range } from "./registry-case.js";

export const BLOB_BYTES = 200_000;
const RANGE_BYTES = 50_000;

const rangeWrong = fails("DATA_LOSS", "content-range-wrong");
const multipartWrong = fails("DATA_LOSS", "multipart-wrong");

const rangeCases: readonly HostileCase[] = [
  { name: "200 with the whole blob", rules: always({ ignoreRange: true }), expected: "right bytes" },
  {
    name: "200 with the whole blob, no length",
    rules: always({ ignoreRange: true, contentLength: "none" }),
    expected: "right bytes",
  },
  {
    name: "200 with the whole blob, cut before the range",
    rules: once({ ignoreRange: true, cutAfter: 500 }),
    expected: "right bytes",
  },
  {
    name: "200 with another blob's length",
    rules: always({ status: 200, body: "short" }),
    expected: fails("DATA_LOSS", "blob-size-wrong"),
    requestsMax: 1,
  },
  {
    name: "200 with the range only",
    rules: always({ status: 200 }),
    expected: fails("DATA_LOSS", "blob-size-wrong"),
  },
  {
    name: "206 without Content-Range",
    rules: always({ headers: { "content-range": null } }),
    expected: rangeWrong,
    requestsMax: 3,
  },
  {
    name: "206 without Content-Range, once",
    rules: once({ headers: { "content-range": null } }),
    expected: "right bytes",
  },
  { name: "206 with another start", rules: always(range("bytes 999-50998/200000")), expected: rangeWrong },
  { name: "206 with a later end", rules: always(range("bytes 1000-199999/200000")), expected: rangeWrong },
  { name: "206 for the whole blob", rules: always(range("bytes 0-199999/200000")), expected: rangeWrong },
  { name: "206 with another total", rules: always(range("bytes 1000-50999/200001")), expected: rangeWrong },
  { name: "206 with an unknown total", rules: always(range("bytes 1000-50999/*")), expected: "right bytes" },
  { name: "206 with garbage as range", rules: always(range("bytes=1000-50999")), expected: rangeWrong },
  { name: "206 with two ranges", rules: always(range("bytes 1000-2000/9, 3-4/9")), expected: rangeWrong },
  {
    name: "206 with a range of 2^64",
    rules: always(range("bytes 1000-18446744073709551615/*")),
    expected: rangeWrong,
  },
  {
    name: "206 with an earlier end, rest on the next request",
    rules: once({ ...range("bytes 1000-20999/200000"), cutAfter: 20_000, contentLength: 20_000 }),
    expected: "right bytes",
  },
  { name: "multipart with one right part", rules: always({ multipart: {} }), expected: "right bytes" },
  { name: "multipart with two parts", rules: always({ multipart: { parts: 2 } }), expected: multipartWrong },
  {
    name: "multipart with 1000 parts",
    range: { offset: 1000, length: 100 },
    rules: always({ multipart: { parts: 1000 } }),
    expected: multipartWrong,
  },
  {
    name: "multipart with another boundary",
    rules: always({ multipart: { boundary: "x" } }),
    expected: multipartWrong,
  },
  {
    name: "multipart with another range inside",
    rules: always({ multipart: { contentRange: "bytes 0-49999/200000" } }),
    expected: rangeWrong,
  },
  {
    name: "multipart without an end",
    rules: always({ multipart: { end: false } }),
    expected: multipartWrong,
  },
  {
    name: "multipart with endless headers",
    rules: always({
      headers: { "content-type": "multipart/byteranges; boundary=b", "content-range": null },
      body: `--b\r\n${"x".repeat(100_000)}`,
    }),
    expected: multipartWrong,
  },
  {
    name: "multipart type without a boundary",
    rules: always({ headers: { "content-type": "multipart/byteranges", "content-range": null } }),
    expected: rangeWrong,
  },
  {
    name: "416 for a range that exists",
    rules: always({ status: 416 }),
    expected: fails("OUT_OF_RANGE", "range-not-satisfiable"),
    requestsMax: 1,
  },
  {
    name: "400",
    rules: always({ status: 400 }),
    expected: fails("FAILED_PRECONDITION", "unexpected-status"),
  },
  {
    name: "204",
    rules: always({ status: 204 }),
    expected: fails("FAILED_PRECONDITION", "unexpected-status"),
  },
];

const bodyCases: readonly HostileCase[] = [
  { name: "cut in the body", rules: once({ cutAfter: 20_000 }), expected: "right bytes" },
  { name: "cut in the body by RST", rules: once({ cutAfter: 20_000, reset: true }), expected: "right bytes" },
  { name: "cut before the head", rules: once({ cutAfter: -1 }), expected: "right bytes" },
  { name: "cut before the body", rules: once({ cutAfter: 0 }), expected: "right bytes" },
  {
    name: "cut after 8000 bytes, always",
    rules: always({ cutAfter: 8000 }),
    expected: "right bytes",
    requestsMax: 8,
  },
  {
    name: "cut after one byte, always",
    rules: always({ cutAfter: 1 }),
    expected: fails("UNAVAILABLE", "connection-broken"),
    requestsMax: 3,
  },
  {
    name: "chunked body without an end",
    rules: once({ contentLength: "none", cutAfter: 30_000 }),
    expected: "right bytes",
  },
  {
    name: "chunked body that ends early",
    rules: once({ contentLength: "none", body: Buffer.alloc(0) }),
    expected: "right bytes",
  },
  { name: "longer body", rules: always({ extraBytes: 5000 }), expected: "right bytes", requestsMax: 1 },
  {
    name: "longer body without a length",
    rules: always({ extraBytes: 5_000_000, contentLength: "none" }),
    expected: "right bytes",
  },
  { name: "length header too small", rules: once({ contentLength: 10 }), expected: "right bytes" },
  {
    name: "length header too large",
    rules: once({ contentLength: 60_000, cutAfter: 50_000 }),
    expected: "right bytes",
  },
  {
    name: "length header that is no number",
    rules: always({ raw: "HTTP/1.1 206 Partial\r\ncontent-length: 5x\r\n\r\nhello" }),
    expected: fails("UNAVAILABLE", "response-invalid"),
    requestsMax: 3,
  },
  { name: "stall before the head", rules: once({ stallAfter: -1 }), expected: "right bytes" },
  { name: "stall before the body", rules: once({ stallAfter: 0 }), expected: "right bytes" },
  { name: "stall in the body", rules: once({ stallAfter: 1024 }), expected: "right bytes" },
  {
    name: "stall before the head, always",
    rules: always({ stallAfter: -1 }),
    expected: fails("DEADLINE_EXCEEDED", "stalled"),
    requestsMax: 3,
  },
  {
    name: "stall in the body, always",
    rules: always({ stallAfter: 1024 }),
    expected: fails("DEADLINE_EXCEEDED", "stalled"),
    requestsMax: 3,
  },
  {
    name: "trickle of 100 bytes a second",
    rules: always({ bytesPerSecond: 100 }),
    expected: fails("DEADLINE_EXCEEDED", "too-slow"),
    requestsMax: 3,
  },
  {
    name: "web page with status 200",
    rules: always({ status: 200, headers: { "content-type": "text/html" }, body: "<html>login</html>" }),
    expected: fails("DATA_LOSS", "not-a-blob"),
    requestsMax: 1,
  },
  {
    name: "gzip encoding",
    rules: always({ headers: { "content-encoding": "gzip" }, body: gzipSync(Buffer.alloc(RANGE_BYTES)) }),
    expected: fails("FAILED_PRECONDITION", "content-encoding"),
    requestsMax: 1,
  },
  {
    name: "a chain of 1000 encodings",
    rules: always({ headers: { "content-encoding": Array(1000).fill("gzip").join(", ") } }),
    expected: fails("FAILED_PRECONDITION", "content-encoding"),
  },
  {
    name: "a chain of 10,000 encodings",
    rules: always({ headers: { "content-encoding": Array(10_000).fill("gzip").join(", ") } }),
    expected: fails("UNAVAILABLE", "response-invalid"),
    requestsMax: 3,
  },
  {
    name: "identity encoding",
    rules: always({ headers: { "content-encoding": "identity" } }),
    expected: "right bytes",
  },
  {
    name: "another protocol",
    rules: always({ raw: "SSH-2.0-x\r\n" }),
    expected: fails("UNAVAILABLE", "response-invalid"),
  },
];

const statusCases: readonly HostileCase[] = [
  { name: "500 twice", rules: [{ times: 2, act: { status: 500 } }], expected: "right bytes" },
  {
    name: "500 always",
    rules: always({ status: 500 }),
    expected: fails("UNAVAILABLE", "server-error"),
    requestsMax: 3,
  },
  {
    name: "502 with a web page",
    rules: once({ status: 502, body: "<html>bad</html>", headers: { "content-type": "text/html" } }),
    expected: "right bytes",
  },
  {
    name: "501",
    rules: always({ status: 501 }),
    expected: fails("FAILED_PRECONDITION", "unexpected-status"),
    requestsMax: 1,
  },
  { name: "408 once", rules: once({ status: 408 }), expected: "right bytes" },
  {
    name: "429 with Retry-After 0",
    rules: once({ status: 429, headers: { "retry-after": "0" } }),
    expected: "right bytes",
  },
  {
    name: "429 with Retry-After -1",
    rules: once({ status: 429, headers: { "retry-after": "-1" } }),
    expected: "right bytes",
  },
  {
    name: "503 with Retry-After of 30 years",
    rules: once({ status: 503, headers: { "retry-after": "1000000000" } }),
    expected: "right bytes",
  },
  {
    name: "503 with Retry-After as a far date",
    rules: once({ status: 503, headers: { "retry-after": "Fri, 31 Dec 2100 23:59:59 GMT" } }),
    expected: "right bytes",
  },
  {
    name: "429 with Retry-After garbage",
    rules: once({ status: 429, headers: { "retry-after": "soon" } }),
    expected: "right bytes",
  },
  {
    name: "429 always",
    rules: always({ status: 429, headers: { "retry-after": "1000000000" } }),
    expected: fails("UNAVAILABLE", "too-many-requests"),
    requestsMax: 3,
  },
  { name: "404", rules: always({ status: 404 }), expected: fails("NOT_FOUND", "not-found"), requestsMax: 1 },
  {
    name: "403",
    rules: always({ status: 403 }),
    expected: fails("PERMISSION_DENIED", "forbidden"),
    requestsMax: 1,
  },
  {
    name: "401 without a challenge",
    rules: always({ status: 401 }),
    expected: fails("UNAUTHENTICATED", "unauthorized"),
    requestsMax: 1,
  },
];

const sizeCases: readonly HostileCase[] = [
  {
    name: "size by HEAD that stalls once",
    unknownSize: true,
    rules: [{ method: "HEAD", times: 1, act: { stallAfter: -1 } }],
    expected: "right bytes",
  },
  {
    name: "size that no answer tells",
    unknownSize: true,
    rules: [
      { method: "HEAD", act: { status: 500 } },
      { times: 3, act: range("bytes 0-0/*") },
    ],
    expected: fails("DATA_LOSS", "blob-size-unknown"),
  },
  {
    name: "size by GET where HEAD is refused",
    unknownSize: true,
    rules: [{ method: "HEAD", act: { status: 403 } }],
    expected: "right bytes",
  },
  {
    name: "size that is too large a number",
    unknownSize: true,
    rules: [
      { method: "HEAD", act: { status: 405 } },
      { times: 1, act: range("bytes 0-0/99999999999999999999") },
    ],
    expected: fails("DATA_LOSS", "blob-size-unknown"),
  },
];

/** Answers, bodies and statuses that are not what was asked for. */
export const answerCases: readonly HostileCase[] = [
  ...rangeCases,
  ...bodyCases,
  ...statusCases,
  ...sizeCases,
];
