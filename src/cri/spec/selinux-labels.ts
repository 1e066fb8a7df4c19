import type { SELinuxOption } from "../../../gen/runtime/v1/api_pb.js";
import { invalidArgument } from "../../errors/index.js";
import type { HostFacts, SpecHost, SpecSettings } from "./contract.js";

export interface SelinuxLabels {
  /** "": none. */
  readonly process: string;
  readonly mount: string;
}

export interface SelinuxRequest {
  readonly options: SELinuxOption | undefined;
  /** The pod's process label, for containers without options of their own. */
  readonly podLabel: string;
  readonly settings: Pick<SpecSettings, "enableSelinux">;
  readonly facts: Pick<HostFacts, "selinux">;
  readonly host: Pick<SpecHost, "drawLevel">;
}

/** @throws INVALID_ARGUMENT `selinux-level-invalid`, also where SELinux is off */
export function selinuxLabels({ options, podLabel, settings, facts, host }: SelinuxRequest): SelinuxLabels {
  checkLevel(options?.level ?? "");
  if (!settings.enableSelinux || facts.selinux === undefined) return { process: "", mount: "" };
  const asked = isEmpty(options) ? partsOf(podLabel) : options;
  const process = partsOf(facts.selinux.process);
  const file = partsOf(facts.selinux.file);
  const level = asked.level || host.drawLevel();
  return {
    process: textOf({
      user: asked.user || process.user,
      role: asked.role || process.role,
      type: asked.type || process.type,
      level,
    }),
    mount: textOf({ ...file, user: asked.user || file.user, level }),
  };
}

interface Context {
  readonly user: string;
  readonly role: string;
  readonly type: string;
  readonly level: string;
}

function isEmpty(options: SELinuxOption | undefined): options is undefined {
  return options === undefined || !(options.user || options.role || options.type || options.level);
}

/** The level holds colons itself. */
function partsOf(label: string): Context {
  const [user = "", role = "", type = "", ...level] = label.split(":");
  return { user, role, type, level: level.join(":") };
}

function textOf({ user, role, type, level }: Context): string {
  return `${user}:${role}:${type}:${level}`;
}

const levelShape = /^s\d(-s\d)?(:c\d{1,4}(\.c\d{1,4})?(,c\d{1,4}(\.c\d{1,4})?)*)?$/;

function checkLevel(level: string): void {
  if (level === "" || levelShape.test(level)) return;
  throw invalidArgument(`the format of 'level' ${JSON.stringify(level)} is not correct`, {
    subject: level,
    reason: "selinux-level-invalid",
    hint: "Want a level as s0:c1,c2",
  });
}
