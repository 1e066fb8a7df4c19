import { writeFile } from "node:fs/promises";
import { buildFaults } from "./build-faults.js";
import { CONTROL_BYTES } from "./fault-switch.js";

/** What a child needs in its environment; makes the control file, which must lie outside of the folder. */
export async function faultEnvironment(options: {
  readonly folder: string;
  readonly control: string;
  /** Paths with this text in them never fail. */
  readonly except?: string | undefined;
}): Promise<Record<string, string>> {
  await writeFile(options.control, Buffer.alloc(CONTROL_BYTES));
  return {
    LD_PRELOAD: await buildFaults(),
    FAULT_CONTROL: options.control,
    FAULT_FOLDER: options.folder,
    FAULT_EXCEPT: options.except ?? "",
    // Node's io_uring would go past the library.
    UV_USE_IO_URING: "0",
  };
}
