import { type Config, loadConfig } from "../daemon/index.js";
import { LazuliError } from "../errors/index.js";
import { type Command, jsonOption } from "./command.js";
import { configOptions } from "./config-command.js";
import { type Finding, machineChecks } from "./doctor-checks.js";
import { table } from "./table.js";

/** A part of the machine that is broken: FAILED_PRECONDITION of the error table. */
const EXIT_BROKEN = 9;

export const doctorCommand: Command = {
  name: "doctor",
  summary: "say whether this machine can run lazuli, and how well",
  usage: "[--config PATH] [--json]",
  positionalsMin: 0,
  positionalsMax: 0,
  description: [
    "Looks at the kernel, FUSE, EROFS, overlayfs, the folders, the native addon, the config, and the sockets of lazuli and containerd, and changes nothing.",
    "A finding is good, told (no action needed), weak (lazuli works with less) or broken. The exit status is 9 when something is broken.",
  ],
  options: {
    config: configOptions.config!,
    address: configOptions.address!,
    json: jsonOption,
  },
  examples: [["lazuli doctor", "Before the first start, and first of all when something is odd."]],
  run: async (input) => {
    const findings: Finding[] = [];
    const config = await configOf(input, findings);
    if (config !== undefined) {
      for (const [check, look] of Object.entries(machineChecks))
        findings.push(await finding(check, () => look(config)));
    }
    const isBroken = findings.some((one) => one.state === "broken");
    return {
      data: { ok: !isBroken, findings },
      text: printed(findings),
      exitCode: isBroken ? EXIT_BROKEN : 0,
    };
  },
};

async function configOf(
  input: Parameters<Command["run"]>[0],
  findings: Finding[],
): Promise<Config | undefined> {
  let config: Config | undefined;
  const one = await finding("config", async () => {
    const loaded = await loadConfig({
      file: input.options.config?.at(-1),
      environment: input.environment,
      flags: input.options,
    });
    config = loaded.config;
    return { state: "good", detail: loaded.file ?? "no file, defaults" };
  });
  findings.push(one);
  return config;
}

async function finding(check: string, look: () => Promise<Omit<Finding, "check">>): Promise<Finding> {
  try {
    return { check, ...(await look()) };
  } catch (thrown) {
    const { message, hint } = LazuliError.from(thrown);
    return { check, state: "broken", detail: message, ...(hint === undefined ? {} : { hint }) };
  }
}

function printed(findings: readonly Finding[]): string {
  const rows = findings.map((one) => [one.check, one.state, one.detail]);
  const hints = findings.filter((one) => one.hint !== undefined).map((one) => `${one.check}: ${one.hint}\n`);
  return `${table(["CHECK", "STATE", "DETAIL"], rows)}${hints.length === 0 ? "" : `\n${hints.join("")}`}`;
}
