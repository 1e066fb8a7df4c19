/**
 * A TCP proxy that behaves like a link with a round trip time, a bandwidth, jitter, and connections that break.
 *
 *     const link = await startLink({ target: { host: "127.0.0.1", port: 5000 }, rttMs: 20, bitsPerSecond: 400e6 });
 */
export { type Link, type LinkOptions, startLink } from "./link.js";
export { type LinkState, LinkThread } from "./link-thread.js";
export { Pipe } from "./pipe.js";
export { seededRandom, shuffled } from "./random.js";
