import { type FindingFacts, type FsckProgress, type FsckReport, fsck, loadConfig } from "../daemon/index.js";
import { type Command, jsonOption } from "./command.js";
import { configOptions } from "./config-command.js";
import { humanBytes, table } from "./table.js";

/** Something is left that should not be. */
const EXIT_FINDINGS = 1;
const PROGRESS_EVERY_MS = 2000;
const NAMESPACE = "default";

export const fsckCommand: Command = {
  name: "fsck",
  summary: "check what lies on disk, and repair it",
  usage: "[--repair] [--rebuild-content [--namespace NAME]] [--config PATH] [--root PATH] [--json]",
  positionalsMin: 0,
  positionalsMax: 0,
  description: [
    "Reads every blob and every record below the root while no lazuli runs on it, and says what is damaged, missing or left over, with the way out. It changes nothing without --repair or --rebuild-content.",
    "`--repair` takes damaged blobs out of use and keeps them below `<root>/set-aside`, removes rows whose bytes are lost so that the next pull fetches them, deletes blobs and ingests that nobody has, and puts counts right. A second run finds nothing but what only you can decide.",
    "`--rebuild-content` gives every sound blob that has no row in the namespace one, and holds them in the lease `lazuli-fsck-rebuilt` for a week. A database that can't be opened is set aside before; images, containers and snapshots are not rebuilt.",
    "The exit status is 1 when findings are left. Notes do not count: a lazy image names layers whose blobs are not here.",
  ],
  options: {
    repair: {
      type: "boolean",
      meaning: "Repair what can be repaired without losing anything that is whole.",
    },
    "rebuild-content": { type: "boolean", meaning: "Write the rows of blobs anew." },
    namespace: { type: "string", value: "NAME", meaning: `Who gets the blobs; default: ${NAMESPACE}.` },
    config: configOptions.config!,
    root: configOptions.root!,
    json: jsonOption,
  },
  examples: [
    ["lazuli fsck", "Is everything whole that was pulled?"],
    ["lazuli fsck --repair", "After a disk had errors; then pull the images again that it names."],
  ],
  run: async (input) => {
    const { config } = await loadConfig({
      file: input.options.config?.at(-1),
      environment: input.environment,
      flags: input.options,
    });
    const isRebuild = input.options["rebuild-content"] !== undefined;
    const report = await fsck({
      root: config.root,
      isRepair: input.options.repair !== undefined,
      rebuildInto: isRebuild ? (input.options.namespace?.at(-1) ?? NAMESPACE) : undefined,
      now: () => BigInt(Date.now()) * 1_000_000n,
      onProgress: progressTeller(input.tell),
    });
    const isLeft = report.findings.some(({ severity }) => severity !== "note");
    return { data: { ok: !isLeft, ...report }, text: printed(report), exitCode: isLeft ? EXIT_FINDINGS : 0 };
  },
};

function progressTeller(tell: (line: string) => void): (progress: FsckProgress) => void {
  let last = performance.now();
  return ({ step, count, bytes }) => {
    const now = performance.now();
    if (now - last < PROGRESS_EVERY_MS) return;
    last = now;
    tell(step === "blobs" ? `${count} blobs read, ${humanBytes(bytes)}` : `${count} rows rebuilt`);
  };
}

function printed(report: FsckReport): string {
  const { repaired, findings, rebuilt, setAside } = report;
  const left = findings.filter(({ severity }) => severity !== "note");
  const notes = findings.filter(({ severity }) => severity === "note");
  return [
    `${report.root}: ${report.blobs} blobs with ${humanBytes(report.bytes)} read\n`,
    ...setAside.map((path) => `Set aside: ${path}\n`),
    rebuilt === undefined
      ? ""
      : `${rebuilt.rows} rows rebuilt in namespace ${rebuilt.namespace}${rebuilt.lease === "" ? "" : `, held by the lease ${rebuilt.lease}`}\n`,
    section("Repaired", repaired),
    section("Left", left),
    section("Notes", notes),
    left.length === 0 ? "No findings are left.\n" : "",
  ].join("");
}

function section(title: string, findings: readonly FindingFacts[]): string {
  if (findings.length === 0) return "";
  const rows = findings.map(({ kind, severity, subject, detail }) => [kind, severity, subject, detail]);
  const ways = new Set(findings.map(({ kind, wayOut }) => `${kind}: ${wayOut}\n`));
  return `\n${title}\n${table(["KIND", "SEVERITY", "SUBJECT", "DETAIL"], rows)}\n${[...ways].join("")}`;
}
