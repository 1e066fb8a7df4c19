import { gzipSync } from "node:zlib";
import { always, type Misbehaviour, once, outlived, refused } from "./misbehaviour.js";

const broken = "connection-broken";
const page = { headers: { "content-type": "text/html" }, body: "<html>Please log in</html>" };

/** Bodies that are cut, late, longer, shorter or of something else. */
export const bodyMisbehaviours: readonly Misbehaviour[] = [
  outlived("N-30", "cut in the body, once", once({ cutAfter: 5000 })),
  outlived("N-31", "reset in the body, once", once({ cutAfter: 5000, reset: true })),
  outlived("N-32", "cut before the head, once", once({ cutAfter: -1 })),
  outlived("N-33", "reset before the head, once", once({ cutAfter: -1, reset: true })),
  outlived("N-34", "cut before the body, once", once({ cutAfter: 0 })),
  refused("N-35", "cut after one byte, always", { reason: broken, rules: always({ cutAfter: 1 }) }),
  refused("N-36", "reset before the head, always", {
    reason: broken,
    rules: always({ cutAfter: -1, reset: true }),
  }),
  outlived("N-37", "cut after 30,000 bytes, always", always({ cutAfter: 30_000 })),
  outlived("N-38", "chunked body without an end, once", once({ contentLength: "none", cutAfter: 5000 })),
  refused("N-39", "chunked body of nothing, always", {
    reason: "body-short",
    rules: always({ contentLength: "none", body: Buffer.alloc(0) }),
  }),
  outlived("N-40", "chunked body without a length", always({ contentLength: "none" })),
  outlived("N-41", "a longer body than asked for", always({ extraBytes: 5000 })),
  outlived(
    "N-42",
    "a megabyte more, without a length",
    always({ extraBytes: 1_000_000, contentLength: "none" }),
  ),
  outlived("N-43", "length too small, once", once({ contentLength: 10 })),
  outlived("N-44", "length too large, then cut, once", once({ contentLength: 9_000_000, cutAfter: 6000 })),
  refused("N-45", "length that is no number", {
    reason: "response-invalid",
    rules: always({ raw: "HTTP/1.1 206 Partial\r\ncontent-length: 5x\r\n\r\nhello" }),
  }),
  refused("N-46", "two lengths that disagree", {
    reason: "response-invalid",
    rules: always({ raw: "HTTP/1.1 206 Partial\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello" }),
  }),
  outlived("N-47", "stall before the head, once", once({ stallAfter: -1 }), { isSilent: true }),
  outlived("N-48", "stall before the body, once", once({ stallAfter: 0 }), { isSilent: true }),
  outlived("N-49", "stall in the body, once", once({ stallAfter: 1024 }), { isSilent: true }),
  refused("N-50", "stall before the head, always", {
    isSilent: true,
    reason: "stalled",
    rules: always({ stallAfter: -1 }),
  }),
  refused("N-51", "stall after one byte, always", {
    isSilent: true,
    reason: "stalled",
    rules: always({ stallAfter: 1 }),
  }),
  refused("N-52", "a trickle of 100 bytes a second", {
    isSilent: true,
    reason: "too-slow or stalled",
    rules: always({ bytesPerSecond: 100 }),
  }),
  outlived("N-53", "one byte changed, once", once({ flipByte: 900 }), {
    verdicts: { pull: "stream-checksum-mismatch" },
  }),
  refused("N-54", "one byte changed, always", {
    reason: "stream-checksum-mismatch",
    rules: always({ flipByte: 900 }),
  }),
  refused("N-55", "zeros of the right length", {
    reason: "stream-corrupt",
    rules: always({ otherBytes: "zeros" }),
  }),
  refused("N-56", "another blob's bytes of the right length", {
    reason: "stream-corrupt",
    rules: always({ otherBytes: "noise" }),
  }),
  refused("N-57", "a login page with status 200", {
    reason: "not-a-blob",
    rules: always({ ...page, status: 200 }),
  }),
  refused("N-58", "a login page with status 206", { reason: "body-short", rules: always(page) }),
  refused("N-59", "gzip encoding", {
    reason: "content-encoding",
    rules: always({ headers: { "content-encoding": "gzip" }, body: gzipSync(Buffer.alloc(5000)) }),
  }),
  refused("N-60", "gzip encoding, cut", {
    reason: "content-encoding",
    rules: always({
      headers: { "content-encoding": "gzip" },
      body: gzipSync(Buffer.alloc(5000)).subarray(0, 9),
    }),
  }),
  refused("N-61", "a chain of 1000 encodings", {
    reason: "content-encoding",
    rules: always({ headers: { "content-encoding": Array(1000).fill("gzip").join(", ") } }),
  }),
  refused("N-62", "a chain of 10,000 encodings", {
    reason: "response-invalid",
    rules: always({ headers: { "content-encoding": Array(10_000).fill("gzip").join(", ") } }),
  }),
  outlived("N-63", "identity encoding", always({ headers: { "content-encoding": "identity" } })),
  refused("N-64", "another protocol", {
    reason: "response-invalid",
    rules: always({ raw: "SSH-2.0-OpenSSH\r\n" }),
  }),
  refused("N-65", "a header of 100 KiB", {
    reason: "response-invalid",
    rules: always({ headers: { "x-large": "x".repeat(100_000) } }),
  }),
  refused("N-66", "5000 headers", {
    reason: "response-invalid",
    rules: always({
      headers: Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`x-${at}`, "value"])),
    }),
  }),
  outlived("N-67", "another entity tag", always({ headers: { etag: '"another"' } })),
  outlived(
    "N-68",
    "a digest header that lies",
    always({ headers: { "docker-content-digest": `sha256:${"0".repeat(64)}` } }),
  ),
  refused("N-69", "100 Continue without an end", {
    reason: broken,
    rules: always({ raw: "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000) }),
  }),
  refused("N-70", "a status of four digits", {
    reason: "response-invalid",
    rules: always({ raw: "HTTP/1.1 2066 Partial\r\ncontent-length: 0\r\n\r\n" }),
  }),
];
