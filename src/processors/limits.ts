/** Named bounds of this room, with what happens when each is reached. */

/** Processors that one layer goes through; a chain that is longer (a circle, most likely) is refused. */
export const STEPS_MAX = 8;
/** Highest number of a file that is kept from programs; a higher one is inherited. */
export const INHERITED_FILE_MAX = 1023;
/** What is kept of what a program writes to stderr, its end; the rest is dropped. */
export const STDERR_TAIL_BYTES = 4096;
/** Longest time that a program may keep us waiting, taking and giving nothing; after it the program is killed. */
export const STALL_TIMEOUT_MS = 60_000;
/** Longest wait for the pipes of a program that has ended; children that outlive it may hold them. */
export const CLOSE_TIMEOUT_MS = 1_000;
