/**
 * A loss of power and a kill, tried on the real modules: a disk that remembers what it was told, disks as a crash may
 * leave them, and a check of what was promised.
 *
 *     const recording = await recordWorkload({ folder, seed: 1, operations: 100, variant: "right" });
 *     const { failures } = await checkImages(recording, { folder, count: 1000, seed: 1 });
 */
export { type CheckedImages, checkImages, type ImageFailure } from "./check-images.js";
export { checkAfterCrash } from "./check-parts.js";
export { crashFolder } from "./crash-folder.js";
export { Journal } from "./journal.js";
export { type Recording, recordWorkload } from "./record-workload.js";
