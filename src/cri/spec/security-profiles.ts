import {
  SecurityProfile_ProfileType as ProfileType,
  type SecurityProfile,
} from "../../../gen/runtime/v1/api_pb.js";
import { failedPrecondition, invalidArgument, notFound } from "../../errors/index.js";
import { defaultSeccomp, parseSeccompProfile, type SeccompProfile } from "../../spec/index.js";
import type { HostFacts, SpecHost, SpecSettings } from "./contract.js";

const LOCALHOST = "localhost/";

interface Profile {
  readonly profileType: ProfileType;
  readonly localhostRef: string;
}

interface SecurityFields {
  readonly seccomp?: SecurityProfile | undefined;
  readonly seccompProfilePath: string;
  readonly privileged: boolean;
}

export interface ProfileRequest {
  readonly settings: Pick<SpecSettings, "unsetSeccompProfile" | "disableApparmor">;
  readonly facts: Pick<HostFacts, "hasSeccomp" | "hasApparmor" | "architecture">;
  readonly host: Pick<SpecHost, "readFile" | "loadDefaultApparmor" | "hasApparmorProfile">;
}

/** undefined: none. @throws INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION `seccomp-…` */
export async function seccompOf(
  security: SecurityFields | undefined,
  { settings, facts, host, capabilities }: ProfileRequest & { readonly capabilities: readonly string[] },
): Promise<SeccompProfile | undefined> {
  const path = security?.seccompProfilePath || (settings.unsetSeccompProfile ?? "");
  const profile = security?.seccomp ?? (path === "" ? undefined : profileOfPath(path));
  if (security?.privileged === true || profile === undefined) return undefined;
  if (!facts.hasSeccomp) {
    if (profile.profileType === ProfileType.Unconfined) return undefined;
    throw failedPrecondition("seccomp is not supported", { reason: "seccomp-unsupported" });
  }
  checkReference(profile, "seccomp");
  switch (profile.profileType) {
    case ProfileType.Unconfined:
      return undefined;
    case ProfileType.RuntimeDefault:
      return defaultSeccomp({ architecture: facts.architecture, capabilities });
    default:
      return readSeccomp(host, withoutPrefix(profile.localhostRef));
  }
}

async function readSeccomp(host: ProfileRequest["host"], path: string): Promise<SeccompProfile> {
  let bytes: Uint8Array;
  try {
    bytes = await host.readFile(path);
  } catch (cause) {
    throw notFound(`cannot load seccomp profile ${JSON.stringify(path)}: ${messageOf(cause)}`, {
      subject: path,
      reason: "seccomp-profile-unreadable",
      cause,
    });
  }
  return parseSeccompProfile(bytes);
}

interface ApparmorFields {
  readonly apparmor?: SecurityProfile | undefined;
  readonly apparmorProfile: string;
  readonly privileged: boolean;
}

/** Name of a profile in the kernel; undefined: none. @throws INVALID_ARGUMENT, NOT_FOUND, FAILED_PRECONDITION `apparmor-…` */
export async function apparmorOf(
  security: ApparmorFields | undefined,
  { settings, facts, host }: ProfileRequest,
): Promise<string | undefined> {
  const path = security?.apparmorProfile ?? "";
  const asked = security?.apparmor ?? (path === "" ? undefined : profileOfPath(path));
  if (!facts.hasApparmor || settings.disableApparmor) {
    if (asked === undefined || asked.profileType === ProfileType.Unconfined) return undefined;
    throw failedPrecondition("apparmor is not supported", { reason: "apparmor-unsupported" });
  }
  const profile = asked ?? profileOfPath("");
  checkReference(profile, "apparmor");
  if (profile.profileType === ProfileType.Unconfined) return undefined;
  if (profile.profileType === ProfileType.RuntimeDefault) {
    return security?.privileged === true ? undefined : host.loadDefaultApparmor();
  }
  const name = withoutPrefix(profile.localhostRef);
  if (name !== "" && (await host.hasApparmorProfile(name))) return name;
  throw notFound(`apparmor profile not found ${name}`, {
    subject: name,
    reason: "apparmor-profile-unknown",
    hint: "Load it on this node with apparmor_parser",
  });
}

function checkReference({ profileType, localhostRef }: Profile, kind: "seccomp" | "apparmor"): void {
  if (ProfileType[profileType] === undefined) {
    throw invalidArgument(`${kind} unknown ProfileType`, { reason: `${kind}-type-unknown` });
  }
  if (profileType === ProfileType.Localhost || localhostRef === "") return;
  throw invalidArgument(`${kind} config invalid LocalhostRef must only be set if ProfileType is Localhost`, {
    subject: localhostRef,
    reason: `${kind}-reference-invalid`,
  });
}

/** The deprecated texts: `runtime/default`, `unconfined`, `localhost/NAME`. */
function profileOfPath(path: string): Profile {
  if (["", "runtime/default", "docker/default"].includes(path)) {
    return { profileType: ProfileType.RuntimeDefault, localhostRef: "" };
  }
  if (path === "unconfined") return { profileType: ProfileType.Unconfined, localhostRef: "" };
  if (path.startsWith(LOCALHOST)) {
    return { profileType: ProfileType.Localhost, localhostRef: withoutPrefix(path) };
  }
  throw invalidArgument(`invalid profile ${JSON.stringify(path)}`, {
    subject: path,
    reason: "security-profile-invalid",
    hint: "Want runtime/default, unconfined or localhost/NAME",
  });
}

function withoutPrefix(name: string): string {
  return name.startsWith(LOCALHOST) ? name.slice(LOCALHOST.length) : name;
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
