import { parseChallenges } from "../../../src/registry/challenge.js";
import { checkContentRange, parseContentRange } from "../../../src/registry/content-range.js";
import { durationMs } from "../../../src/registry/duration.js";
import { multipartBoundary } from "../../../src/registry/multipart.js";
import { retryAfterMs } from "../../../src/registry/retry-after.js";
import { refusing } from "../target.js";

const wanted = { offset: 100, length: 50, size: 1000, subject: "blob", host: "registry.example" };

/** Headers that a registry answers with: each reader sees them all. */
export const fuzz = refusing((bytes) => {
  const header = bytes.toString("latin1");
  parseChallenges(header);
  multipartBoundary(header);
  durationMs(header);
  const delay = retryAfterMs(header, 0);
  if (delay !== undefined && !(delay >= 0)) throw new Error(`a delay of ${delay} ms`);
  checkContentRange(parseContentRange(header), wanted);
});
