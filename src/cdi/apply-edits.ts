import type { CdiMount, ContainerEdits } from "./contract.js";
import { addDeviceRule, addHooks, putDevice, putMount, setEnvironment, sortMounts } from "./edit-spec.js";
import { completeDevice } from "./host-device.js";
import type { RuntimeMount, RuntimeSpec } from "./runtime-spec.js";

/** Makes the edits in `spec`. @throws FAILED_PRECONDITION as completeDevice() does */
export async function applyEdits(spec: RuntimeSpec, edits: ContainerEdits): Promise<void> {
  if (edits.env.length > 0) setEnvironment(spec, edits.env);
  await applyDeviceNodes(spec, edits);
  for (const { hostInterfaceName, name } of edits.netDevices) {
    spec.linux ??= {};
    spec.linux.netDevices = { ...spec.linux.netDevices, [hostInterfaceName]: { name } };
  }
  if (edits.mounts.length > 0) {
    const isRemapped = spec.linux?.namespaces?.some(({ type }) => type === "user") ?? false;
    for (const mount of edits.mounts) putMount(spec, runtimeMount(mount, isRemapped));
    sortMounts(spec);
  }
  for (const { hookName, hook } of edits.hooks) addHooks(spec, hookName, [hook]);
  if (edits.intelRdt !== undefined) {
    spec.linux ??= {};
    spec.linux.intelRdt = { ...edits.intelRdt };
  }
  addGroups(spec, edits.additionalGids);
}

async function applyDeviceNodes(spec: RuntimeSpec, { deviceNodes }: ContainerEdits): Promise<void> {
  for (const node of deviceNodes) {
    const device = await completeDevice(node);
    const { uid, gid } = spec.process?.user ?? {};
    putDevice(spec, {
      ...device,
      ...(device.uid === undefined && uid !== undefined && uid > 0 && { uid }),
      ...(device.gid === undefined && gid !== undefined && gid > 0 && { gid }),
    });
    if (device.type !== "b" && device.type !== "c") continue;
    const access = node.permissions === "none" ? "" : (node.permissions ?? "rwm");
    const { type, major = 0, minor = 0 } = device;
    addDeviceRule(spec, { allow: true, type, major, minor, access });
  }
}

function runtimeMount(mount: CdiMount, isRemapped: boolean): RuntimeMount {
  const { hostPath, containerPath, type, options } = mount;
  const mapping = isRemapped ? mappingOption(mount) : undefined;
  const all = mapping === undefined ? [...options] : [...options, mapping];
  return {
    destination: containerPath,
    source: hostPath,
    ...(type !== undefined && { type }),
    ...(all.length > 0 && { options: all }),
  };
}

/** In a user namespace a bind mount shows its files with mapped owners. */
function mappingOption({ type, options }: CdiMount): "idmap" | "ridmap" | undefined {
  if (options.includes("idmap") || options.includes("ridmap")) return undefined;
  if (options.includes("rbind")) return "ridmap";
  return type === "bind" || options.includes("bind") ? "idmap" : undefined;
}

function addGroups(spec: RuntimeSpec, gids: readonly number[]): void {
  // 0 would be a way to root's group: it is left out, as the specification says.
  const wanted = gids.filter((gid) => gid !== 0);
  if (wanted.length === 0) return;
  spec.process ??= {};
  spec.process.user ??= {};
  spec.process.user.additionalGids = [...new Set([...(spec.process.user.additionalGids ?? []), ...wanted])];
}
