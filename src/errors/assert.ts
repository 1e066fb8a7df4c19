/** A broken invariant of our own code: never caught on purpose, unlike an operating error. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Invariant broken: ${message}`);
}
