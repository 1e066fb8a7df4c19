import { invalidArgument } from "../../errors/index.js";
import type { ProcessSpec, RuntimeSpec } from "../../spec/index.js";

export interface ExecRequest {
  /** The running container's. */
  readonly spec: Pick<RuntimeSpec, "process">;
  readonly command: readonly string[];
  readonly isTerminal: boolean;
}

/** A further process of a container, with its user, environment and limits. @throws INVALID_ARGUMENT `command-missing` */
export function execProcess({ spec, command, isTerminal }: ExecRequest): ProcessSpec {
  if (command.length === 0) {
    throw invalidArgument("Cannot run in a container: want a command, got none", {
      reason: "command-missing",
    });
  }
  const { env } = spec.process;
  return {
    ...spec.process,
    terminal: isTerminal,
    args: command,
    env: isTerminal ? [...env.filter((entry) => !entry.startsWith("TERM=")), "TERM=xterm"] : env,
  };
}
