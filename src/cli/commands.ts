import type { Command } from "./command.js";

/**
 * Every command, in the order of `lazuli help`. A command's modules are loaded when it is asked for: all of them take
 * 0.9 s, those of one a fraction.
 */
const loaders: Readonly<Record<string, () => Promise<Command>>> = {
  snapshotter: async () => (await import("./snapshotter-command.js")).snapshotterCommand,
  daemon: async () => (await import("./daemon-command.js")).daemonCommand,
  pull: async () => (await import("./pull-command.js")).pullCommand,
  run: async () => (await import("./run-command.js")).runCommand,
  ps: async () => (await import("./ps-command.js")).psCommand,
  exec: async () => (await import("./exec-command.js")).execCommand,
  logs: async () => (await import("./logs-command.js")).logsCommand,
  attach: async () => (await import("./attach-command.js")).attachCommand,
  stop: async () => (await import("./stop-command.js")).stopCommand,
  kill: async () => (await import("./kill-command.js")).killCommand,
  rm: async () => (await import("./rm-command.js")).rmCommand,
  images: async () => (await import("./images-command.js")).imagesCommand,
  rmi: async () => (await import("./rmi-command.js")).rmiCommand,
  tag: async () => (await import("./tag-command.js")).tagCommand,
  push: async () => (await import("./push-command.js")).pushCommand,
  save: async () => (await import("./save-command.js")).saveCommand,
  load: async () => (await import("./load-command.js")).loadCommand,
  inspect: async () => (await import("./inspect-command.js")).inspectCommand,
  events: async () => (await import("./events-command.js")).eventsCommand,
  status: async () => (await import("./status-command.js")).statusCommand,
  trace: async () => (await import("./trace-command.js")).traceCommand,
  explain: async () => (await import("./explain-command.js")).explainCommand,
  convert: async () => (await import("./convert-command.js")).convertCommand,
  index: async () => (await import("./index-command.js")).indexCommand,
  bench: async () => (await import("./bench-command.js")).benchCommand,
  profile: async () => (await import("./profile-command.js")).profileCommand,
  doctor: async () => (await import("./doctor-command.js")).doctorCommand,
  gc: async () => (await import("./gc-command.js")).gcCommand,
  fsck: async () => (await import("./fsck-command.js")).fsckCommand,
  config: async () => (await import("./config-command.js")).configCommand,
  version: async () => (await import("./version-command.js")).versionCommand,
  help: async () => (await import("./help-command.js")).helpCommand(loadCommands),
};

export const commandNames: readonly string[] = Object.keys(loaders);

/** Undefined for a name that is no command's. */
export async function loadCommand(name: string): Promise<Command | undefined> {
  return Object.hasOwn(loaders, name) ? await loaders[name]!() : undefined;
}

export async function loadCommands(): Promise<readonly Command[]> {
  return await Promise.all(Object.values(loaders).map((load) => load()));
}
