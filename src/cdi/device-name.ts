import { invalidArgument, type LazuliError } from "../errors/index.js";

/** What annotations that ask for devices begin with. */
export const CDI_ANNOTATION_PREFIX = "cdi.k8s.io/";
/** Devices that one container may ask for. */
const DEVICES_MAX = 1024;

const vendorOrClass = /^[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;
const deviceName = /^[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?$/;

export function isVendorOrClass(text: string): boolean {
  return vendorOrClass.test(text);
}

export function isDeviceName(text: string): boolean {
  return deviceName.test(text);
}

/** Whether it is vendor/class=name. */
export function isQualifiedDevice(text: string): boolean {
  const slash = text.indexOf("/");
  const equals = text.indexOf("=");
  return (
    slash > 0 &&
    equals > slash &&
    isVendorOrClass(text.slice(0, slash)) &&
    isVendorOrClass(text.slice(slash + 1, equals)) &&
    isDeviceName(text.slice(equals + 1))
  );
}

/**
 * The devices that annotations `cdi.k8s.io/*` ask for, in the order of the keys.
 * @throws INVALID_ARGUMENT (reason `cdi-name-invalid`)
 */
export function devicesOfAnnotations(annotations: Readonly<Record<string, string>>): string[] {
  const keys = Object.keys(annotations).filter((key) => key.startsWith(CDI_ANNOTATION_PREFIX));
  const names = keys.sort().flatMap((key) => annotations[key]!.split(","));
  checkDeviceNames(names);
  return names;
}

/** @throws INVALID_ARGUMENT (reason `cdi-name-invalid` or `cdi-too-many-devices`) */
export function checkDeviceNames(names: readonly string[]): void {
  if (names.length > DEVICES_MAX) {
    throw invalidArgument(`Cannot inject CDI devices: want at most ${DEVICES_MAX}, got ${names.length}`, {
      reason: "cdi-too-many-devices",
    });
  }
  for (const name of names) if (!isQualifiedDevice(name)) throw nameInvalid(name);
}

function nameInvalid(name: string): LazuliError {
  return invalidArgument(`invalid CDI device name ${JSON.stringify(name)}: want vendor/class=name`, {
    subject: name,
    reason: "cdi-name-invalid",
  });
}
