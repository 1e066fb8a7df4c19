import { invalidArgument } from "../errors/index.js";
import { findUser, groupsOf } from "./accounts.js";
import { capabilityName, capabilitySets } from "./capabilities.js";
import type { RunConfig } from "./run-config.js";
import type { Rlimit } from "./runtime-spec.js";
import { changeProcess, type SpecOption } from "./spec-option.js";

/** What the image says: environment, arguments, folder and user, with the groups that the user is in. */
export function withImageConfig(config: RunConfig, args: readonly string[] = []): SpecOption {
  return (spec, context) => {
    const command = args.length > 0 ? args : config.command;
    const user =
      config.user === ""
        ? { uid: 0, gid: 0, additionalGids: [...new Set([0, ...groupsOf("root", context.accounts)])] }
        : findUser(config.user, context.accounts);
    const own = changeProcess(spec, {
      args: [...config.entrypoint, ...command],
      cwd: config.workingFolder === "" ? "/" : config.workingFolder,
      user,
    });
    return withEnv(config.env)(own, context);
  };
}

/** In place of all arguments, an entrypoint included. */
export function withArgs(args: readonly string[]): SpecOption {
  return (spec) => changeProcess(spec, { args });
}

/** Sets `NAME=value`, and takes away what is given as `NAME` alone. */
export function withEnv(entries: readonly string[]): SpecOption {
  return (spec) => {
    const env = new Map(spec.process.env.map((entry) => [nameOf(entry), entry]));
    for (const entry of entries) {
      const name = nameOf(entry);
      if (name === "" || entry.includes("\0")) {
        throw invalidArgument(`Cannot set ${JSON.stringify(entry)} in the environment: want NAME=VALUE`, {
          subject: entry,
          reason: "env-invalid",
        });
      }
      if (entry.includes("=")) env.set(name, entry);
      else env.delete(name);
    }
    return changeProcess(spec, { env: [...env.values()] });
  };
}

function nameOf(entry: string): string {
  const at = entry.indexOf("=");
  return at < 0 ? entry : entry.slice(0, at);
}

/** `user[:group]`, names or numbers, looked up in the image. */
export function withUser(user: string): SpecOption {
  return (spec, { accounts }) => changeProcess(spec, { user: findUser(user, accounts) });
}

/** A terminal for the process: `TERM` is set unless the environment has it. */
export function withTty(): SpecOption {
  return (spec, context) => {
    const hasTerm = spec.process.env.some((entry) => entry.startsWith("TERM="));
    const own = changeProcess(spec, { terminal: true });
    return hasTerm ? own : withEnv(["TERM=xterm"])(own, context);
  };
}

/** @throws INVALID_ARGUMENT for a relative path */
export function withWorkingFolder(path: string): SpecOption {
  if (!path.startsWith("/")) {
    throw invalidArgument(`Cannot use the working folder ${JSON.stringify(path)}: want an absolute path`, {
      subject: path,
      reason: "working-folder-invalid",
    });
  }
  return (spec) => changeProcess(spec, { cwd: path });
}

/** These and no others. */
export function withCapabilities(names: readonly string[]): SpecOption {
  const sets = capabilitySets(names.map(capabilityName));
  return (spec) => changeProcess(spec, { capabilities: sets });
}

export function withAddedCapabilities(names: readonly string[]): SpecOption {
  const added = names.map(capabilityName);
  return (spec) => {
    const all = [...new Set([...spec.process.capabilities.bounding, ...added])];
    return changeProcess(spec, { capabilities: capabilitySets(all) });
  };
}

export function withDroppedCapabilities(names: readonly string[]): SpecOption {
  const dropped = new Set(names.map(capabilityName));
  return (spec) => {
    const kept = spec.process.capabilities.bounding.filter((name) => !dropped.has(name));
    return changeProcess(spec, { capabilities: capabilitySets(kept) });
  };
}

/** Programs with set-user-id bits and file capabilities get what they ask for. */
export function withNewPrivileges(): SpecOption {
  return (spec) => changeProcess(spec, { noNewPrivileges: false });
}

/** Each in place of the one of its type. */
export function withRlimits(rlimits: readonly Rlimit[]): SpecOption {
  return (spec) => {
    const types = new Set(rlimits.map(({ type }) => type));
    const kept = spec.process.rlimits.filter(({ type }) => !types.has(type));
    return changeProcess(spec, { rlimits: [...kept, ...rlimits] });
  };
}

export function withApparmor(profile: string): SpecOption {
  return (spec) => changeProcess(spec, { apparmorProfile: profile });
}
