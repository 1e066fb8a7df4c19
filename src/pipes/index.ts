/**
 * FIFOs that a process's input and output go through.
 *
 *     const paths = await makeFifos({ folder: "/run/lazuli/fifo", id: "web", hasStdin: false, isTerminal: false });
 *     const output = openFifoReader(paths.stdout);
 */
export {
  type FifoPaths,
  type MakeFifosOptions,
  makeFifos,
  openFifoReader,
  openFifoWriter,
} from "./fifo.js";
