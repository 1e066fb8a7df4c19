import { join, relative } from "node:path/posix";
import type { ContainerConfig } from "../../../gen/runtime/v1/api_pb.js";
import { invalidArgument } from "../../errors/index.js";
import type { DeviceRule, LinuxDevice } from "../../spec/index.js";
import type { SpecHost, SpecSettings } from "./contract.js";

export interface ContainerDevices {
  readonly devices: readonly LinuxDevice[];
  readonly rules: readonly DeviceRule[];
}

export interface DevicesRequest {
  readonly config: ContainerConfig;
  readonly settings: Pick<SpecSettings, "deviceOwnershipFromSecurityContext">;
  readonly host: Pick<SpecHost, "realPath" | "devices">;
}

/** The devices that the kubelet asks for, with those below where it names a folder. @throws INVALID_ARGUMENT `device-invalid` */
export async function containerDevices({
  config,
  settings,
  host,
}: DevicesRequest): Promise<ContainerDevices> {
  const devices: LinuxDevice[] = [];
  const rules: DeviceRule[] = [];
  const security = config.linux?.securityContext;
  const owner = settings.deviceOwnershipFromSecurityContext
    ? { uid: Number(security?.runAsUser?.value ?? 0), gid: Number(security?.runAsGroup?.value ?? 0) }
    : { uid: 0, gid: 0 };
  for (const { hostPath, containerPath, permissions } of config.devices) {
    if (!/^[rwm]*$/.test(permissions)) {
      throw invalidArgument(
        `Cannot use the device ${hostPath}: want permissions of r, w and m, got ${JSON.stringify(permissions)}`,
        {
          subject: hostPath,
          reason: "device-invalid",
        },
      );
    }
    const source = await host.realPath(hostPath).catch((cause: unknown) => {
      const message = cause instanceof Error ? cause.message : String(cause);
      throw invalidArgument(`Cannot use the device ${JSON.stringify(hostPath)}: ${message}`, {
        subject: hostPath,
        reason: "device-invalid",
        cause,
      });
    });
    for (const device of await host.devices(source)) {
      const { type, major, minor } = device;
      const inner = relative(source, device.path);
      devices.push({
        ...device,
        path: containerPath === "" ? device.path : join(containerPath, inner),
        ...(owner.uid !== 0 && { uid: owner.uid }),
        ...(owner.gid !== 0 && { gid: owner.gid }),
      });
      rules.push({ allow: true, type, major, minor, access: permissions });
    }
  }
  return { devices, rules };
}
