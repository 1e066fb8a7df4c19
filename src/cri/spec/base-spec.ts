import { parseRuntimeJson } from "../../cdi/index.js";
import { invalidArgument } from "../../errors/index.js";
import { changeLinux, changeProcess, DEFAULT_PATH, defaultSpec, type RuntimeSpec } from "../../spec/index.js";
import { CRI_NAMESPACE } from "../contract.js";

/** Of a container or a pod before its config: no /run, no limits, no profile, and no devices but those of every runtime. */
export function criBaseSpec(id: string): RuntimeSpec {
  const spec = defaultSpec({ id, namespace: CRI_NAMESPACE });
  const closed = changeProcess(withoutRunMount(spec), { env: [], rlimits: [] });
  return changeLinux(closed, { resources: { devices: [{ allow: false, access: "rwm" }] } });
}

/** The administrator's base for a runtime's containers: its limits and profiles stay. */
export function customBaseSpec(id: string, base: RuntimeSpec): RuntimeSpec {
  return changeLinux(withoutRunMount(base), { cgroupsPath: `/${CRI_NAMESPACE}/${id}` });
}

/**
 * The file of `base_runtime_spec`. What it leaves out is as in the default.
 * @throws INVALID_ARGUMENT `base-spec-invalid`, or what parseRuntimeJson() throws
 */
export function parseBaseSpec(bytes: Uint8Array): RuntimeSpec {
  const document = objectOf(parseRuntimeJson(bytes), "the document");
  const usual = criBaseSpec("");
  const process = partOf(document, "process");
  const linux = partOf(document, "linux");
  const spec = {
    ...usual,
    ...document,
    process: {
      ...usual.process,
      env: [DEFAULT_PATH],
      ...process,
      user: { ...usual.process.user, ...partOf(process, "user") },
      capabilities: { bounding: [], effective: [], permitted: [], ...partOf(process, "capabilities") },
    },
    root: { ...usual.root, ...partOf(document, "root") },
    linux: { ...usual.linux, ...linux, resources: partOf(linux, "resources") },
  };
  for (const [name, value] of Object.entries({
    mounts: spec.mounts,
    namespaces: spec.linux.namespaces,
    env: spec.process.env,
    rlimits: spec.process.rlimits,
  })) {
    if (!Array.isArray(value)) throw malformed(`want a list for ${name}`);
  }
  return spec;
}

/** For what is privileged: sysfs and cgroups may be written. */
export function withWritableKernel(spec: RuntimeSpec): RuntimeSpec {
  const mounts = spec.mounts.map((mount) =>
    mount.type === "sysfs" || mount.type === "cgroup"
      ? { ...mount, options: mount.options.map((option) => (option === "ro" ? "rw" : option)) }
      : mount,
  );
  return { ...spec, mounts };
}

function withoutRunMount(spec: RuntimeSpec): RuntimeSpec {
  return { ...spec, mounts: spec.mounts.filter(({ destination }) => destination !== "/run") };
}

type Fields = Readonly<Record<string, unknown>>;

function partOf(fields: Fields, name: string): Fields {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  return value === undefined || value === null ? {} : objectOf(value, name);
}

function objectOf(value: unknown, name: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw malformed(`want an object for ${name}`);
}

function malformed(problem: string): Error {
  return invalidArgument(`Cannot use a base runtime spec: ${problem}`, { reason: "base-spec-invalid" });
}
