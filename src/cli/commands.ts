import type { Command } from "./command.js";
import { configCommand } from "./config-command.js";
import { convertCommand } from "./convert-command.js";
import { daemonCommand } from "./daemon-command.js";
import { doctorCommand } from "./doctor-command.js";
import { explainCommand } from "./explain-command.js";
import { fsckCommand } from "./fsck-command.js";
import { gcCommand } from "./gc-command.js";
import { helpCommand } from "./help-command.js";
import { indexCommand } from "./index-command.js";
import { snapshotterCommand } from "./snapshotter-command.js";
import { statusCommand } from "./status-command.js";
import { versionCommand } from "./version-command.js";

const others: readonly Command[] = [
  snapshotterCommand,
  daemonCommand,
  statusCommand,
  explainCommand,
  convertCommand,
  indexCommand,
  doctorCommand,
  gcCommand,
  fsckCommand,
  configCommand,
  versionCommand,
];

/** Every command, in the order of `lazuli help`. */
export const commands: readonly Command[] = [...others, helpCommand(others)];
