import { invalidArgument, notFound } from "../errors/index.js";
import { applyEdits } from "./apply-edits.js";
import type { CdiDevice, CdiSpec } from "./contract.js";
import { checkDeviceNames } from "./device-name.js";
import { type SpecFile, SpecFolders } from "./load-folders.js";
import type { RuntimeSpec } from "./runtime-spec.js";

export interface CdiProblem {
  /** The file, or the folder, that is at fault. */
  readonly path: string;
  readonly message: string;
}

export interface CdiInventory {
  /** Qualified names: vendor/class=name. */
  readonly devices: readonly string[];
  /** Files that could not be read, and devices that two files of a folder name. */
  readonly problems: readonly CdiProblem[];
}

export interface DeviceRegistry {
  /**
   * A copy of an OCI runtime spec with the devices in it. Folders are looked at anew each time.
   * @throws INVALID_ARGUMENT (`cdi-name-invalid`, `cdi-runtime-spec-invalid`) for a name or spec that is none; NOT_FOUND (`cdi-device-unresolvable`,
   * naming devices and folders); FAILED_PRECONDITION (`cdi-host-device`)
   */
  inject<Spec extends object>(spec: Spec, names: readonly string[]): Promise<Spec>;
  inventory(): Promise<CdiInventory>;
}

/** The devices of these folders; a later folder stands above an earlier one. */
export function openDeviceRegistry(options: { readonly folders: readonly string[] }): DeviceRegistry {
  const { folders } = options;
  const loader = new SpecFolders(folders);
  return {
    inject: async (spec, names) => {
      checkDeviceNames(names);
      const copy = structuredClone(spec);
      if (names.length === 0) return copy;
      const { devices, problems } = resolve(await loader.load());
      const missing = names.filter((name) => !devices.has(name));
      if (missing.length > 0) throw unresolvable(missing, folders, problems);
      const done = new Set<CdiSpec>();
      try {
        for (const name of names) {
          const { file, device } = devices.get(name)!;
          if (!done.has(file)) await applyEdits(copy as RuntimeSpec, file.edits);
          done.add(file);
          await applyEdits(copy as RuntimeSpec, device.edits);
        }
      } catch (thrown) {
        throw thrown instanceof TypeError ? specInvalid(names, thrown) : thrown;
      }
      return copy;
    },
    inventory: async () => {
      const { devices, problems } = resolve(await loader.load());
      return { devices: [...devices.keys()].sort(), problems };
    },
  };
}

/** Lists and objects are where they should be in every spec that a runtime takes. */
function specInvalid(names: readonly string[], cause: TypeError): Error {
  return invalidArgument("Cannot inject CDI devices: want a runtime spec, got another object", {
    subject: names.join(", "),
    reason: "cdi-runtime-spec-invalid",
    cause,
  });
}

interface Candidate {
  readonly file: CdiSpec;
  readonly device: CdiDevice;
  readonly path: string;
  readonly priority: number;
}

/** Of devices with one name the folder with the highest priority wins; two in one folder make the name unusable. */
function resolve(files: readonly SpecFile[]): {
  devices: ReadonlyMap<string, Candidate>;
  problems: readonly CdiProblem[];
} {
  const problems: CdiProblem[] = [];
  const candidates = new Map<string, Candidate[]>();
  for (const { path, priority, spec, error } of files) {
    if (error !== undefined) problems.push({ path, message: error.message });
    for (const device of spec?.devices ?? []) {
      const name = `${spec!.kind}=${device.name}`;
      const others = candidates.get(name)?.filter((other) => other.priority === priority) ?? [];
      candidates.set(name, [...others, { file: spec!, device, path, priority }]);
    }
  }
  const devices = new Map<string, Candidate>();
  for (const [name, found] of candidates) {
    if (found.length === 1) devices.set(name, found[0]!);
    else
      for (const { path } of found) {
        problems.push({
          path,
          message: `conflicting device ${name} (specs ${found.map((one) => one.path).join(", ")})`,
        });
      }
  }
  return { devices, problems };
}

function unresolvable(
  missing: readonly string[],
  folders: readonly string[],
  problems: readonly CdiProblem[],
): Error {
  const hint = problems
    .slice(0, 4)
    .map(({ path, message }) => `${path}: ${message}`)
    .join("; ");
  return notFound(`unresolvable CDI devices ${missing.join(", ")}: looked in ${folders.join(", ")}`, {
    subject: missing.join(", "),
    reason: "cdi-device-unresolvable",
    hint: hint === "" ? "Install a CDI spec that names the device" : `Specs that could not be used: ${hint}`,
  });
}
