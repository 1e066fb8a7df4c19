import type { CdiSpec, ContainerEdits } from "./contract.js";
import { badSpec } from "./fields.js";

/** Released versions of the format that are read, oldest first. */
const versions = ["0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0"];

/** From which version on a spec may have what it has (SPEC.md, "Released versions"). */
const demands: readonly { readonly version: string; readonly isMade: (spec: CdiSpec) => boolean }[] = [
  {
    version: "1.1.0",
    isMade: (spec) =>
      anyEdits(
        spec,
        ({ netDevices, intelRdt }) =>
          netDevices.length > 0 ||
          intelRdt?.schemata !== undefined ||
          intelRdt?.enableMonitoring !== undefined,
      ),
  },
  {
    version: "0.7.0",
    isMade: (spec) =>
      anyEdits(spec, ({ intelRdt, additionalGids }) => intelRdt !== undefined || additionalGids.length > 0),
  },
  {
    version: "0.6.0",
    isMade: ({ annotations, devices, kind }) =>
      Object.keys(annotations).length > 0 ||
      devices.some((device) => Object.keys(device.annotations).length > 0) ||
      kind.slice(kind.indexOf("/")).includes("."),
  },
  {
    version: "0.5.0",
    isMade: (spec) =>
      spec.devices.some(({ name }) => /^[0-9]/.test(name)) ||
      anyEdits(spec, ({ deviceNodes }) => deviceNodes.some(({ hostPath }) => hostPath !== undefined)),
  },
  {
    version: "0.4.0",
    isMade: (spec) => anyEdits(spec, ({ mounts }) => mounts.some(({ type }) => type !== undefined)),
  },
];

function anyEdits(spec: CdiSpec, test: (edits: ContainerEdits) => boolean): boolean {
  return test(spec.edits) || spec.devices.some(({ edits }) => test(edits));
}

/** @throws INVALID_ARGUMENT when the version is unknown, or too old for what the spec has */
export function checkSpecVersion(spec: CdiSpec): void {
  const own = versions.indexOf(spec.version);
  if (own < 0) throw badSpec("cdiVersion", `one of ${versions.join(", ")}`, spec.version);
  const needed = demands.find(({ isMade }) => isMade(spec))?.version ?? versions[0]!;
  if (own < versions.indexOf(needed))
    throw badSpec("cdiVersion", `at least ${needed} for its fields`, spec.version);
}
