import { access, constants } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { failedPrecondition, type LazuliError, unimplemented } from "../errors/index.js";

/**
 * Why no container can be checkpointed, as containerd says it. Archives of checkpoints are not written: kubelets ask for
 * them behind a feature gate only.
 */
export async function refuseCheckpoint(request: {
  readonly containerId: string;
  readonly isEnabled: boolean;
  readonly searchPath: string;
}): Promise<LazuliError> {
  const { containerId, isEnabled, searchPath } = request;
  const what = `failed to checkpoint container ${JSON.stringify(containerId)}`;
  const refusal = { subject: containerId, reason: "checkpoint-unavailable" };
  if (!isEnabled) return failedPrecondition(`${what}: criu support is disabled by configuration`, refusal);
  if (await hasProgram("criu", searchPath)) {
    return unimplemented(`${what}: archives of checkpoints are not written here`, refusal);
  }
  return failedPrecondition(`${what}: criu binary not found in shim path or system PATH`, {
    ...refusal,
    hint: "Install criu",
  });
}

async function hasProgram(name: string, searchPath: string): Promise<boolean> {
  for (const folder of searchPath.split(delimiter).filter(isAbsolute)) {
    try {
      await access(join(folder, name), constants.X_OK);
      return true;
    } catch {
      // It may lie in the next one.
    }
  }
  return false;
}
