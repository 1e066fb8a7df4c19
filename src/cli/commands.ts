import { attachCommand } from "./attach-command.js";
import type { Command } from "./command.js";
import { configCommand } from "./config-command.js";
import { convertCommand } from "./convert-command.js";
import { daemonCommand } from "./daemon-command.js";
import { doctorCommand } from "./doctor-command.js";
import { eventsCommand } from "./events-command.js";
import { execCommand } from "./exec-command.js";
import { explainCommand } from "./explain-command.js";
import { fsckCommand } from "./fsck-command.js";
import { gcCommand } from "./gc-command.js";
import { helpCommand } from "./help-command.js";
import { imagesCommand } from "./images-command.js";
import { indexCommand } from "./index-command.js";
import { inspectCommand } from "./inspect-command.js";
import { killCommand } from "./kill-command.js";
import { loadCommand } from "./load-command.js";
import { logsCommand } from "./logs-command.js";
import { psCommand } from "./ps-command.js";
import { pullCommand } from "./pull-command.js";
import { pushCommand } from "./push-command.js";
import { rmCommand } from "./rm-command.js";
import { rmiCommand } from "./rmi-command.js";
import { runCommand } from "./run-command.js";
import { saveCommand } from "./save-command.js";
import { snapshotterCommand } from "./snapshotter-command.js";
import { statusCommand } from "./status-command.js";
import { stopCommand } from "./stop-command.js";
import { tagCommand } from "./tag-command.js";
import { versionCommand } from "./version-command.js";

const others: readonly Command[] = [
  snapshotterCommand,
  daemonCommand,
  pullCommand,
  runCommand,
  psCommand,
  execCommand,
  logsCommand,
  attachCommand,
  stopCommand,
  killCommand,
  rmCommand,
  imagesCommand,
  rmiCommand,
  tagCommand,
  pushCommand,
  saveCommand,
  loadCommand,
  inspectCommand,
  eventsCommand,
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
