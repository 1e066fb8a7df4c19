import { buildVersion } from "../daemon/index.js";
import { type Command, jsonOption } from "./command.js";

export const versionCommand: Command = {
  name: "version",
  summary: "print the version",
  usage: "[--json]",
  positionalsMin: 0,
  positionalsMax: 0,
  description: ["Prints the versions of lazuli and of the Node that runs it."],
  options: { json: jsonOption },
  examples: [["lazuli version --json", "For scripts."]],
  run: async () => {
    const data = { lazuli: await buildVersion(), node: process.versions.node };
    return { data, text: `lazuli ${data.lazuli} (Node ${data.node})\n` };
  },
};
