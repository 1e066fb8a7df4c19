import { invalidArgument } from "../errors/index.js";
import type { Accounts } from "./accounts.js";
import { defaultSpec } from "./default-spec.js";
import type { RuntimeSpec } from "./runtime-spec.js";
import type { SpecOption } from "./spec-option.js";

export interface BuildSpecOptions {
  readonly id: string;
  readonly namespace: string;
  /** Go's name; that of this machine by default. */
  readonly architecture?: string | undefined;
  /** None: users and groups are numbers then. */
  readonly accounts?: Accounts | undefined;
  readonly options: readonly SpecOption[];
}

/** @throws INVALID_ARGUMENT `args-missing` when neither the image nor an option names a program, and what options throw */
export function buildSpec(request: BuildSpecOptions): RuntimeSpec {
  const { id, namespace } = request;
  const context = {
    id,
    namespace,
    architecture: request.architecture ?? machineArchitecture(),
    accounts: request.accounts ?? { passwd: undefined, group: undefined },
  };
  const spec = request.options.reduce((built, option) => option(built, context), defaultSpec(context));
  if (spec.process.args.length === 0) {
    throw invalidArgument(`Cannot make the container ${id}: no program to run is given`, {
      subject: id,
      reason: "args-missing",
      hint: "The image names no program: give one behind it",
    });
  }
  return spec;
}

const goNames: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

/** Go's name for the machine: `amd64`, `arm64`. */
export function machineArchitecture(): string {
  return goNames[process.arch] ?? process.arch;
}
