import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { failedPrecondition } from "../../errors/index.js";

export const DEFAULT_PROFILE = "cri-lazuli.apparmor.d";
const LOADED = "/sys/kernel/security/apparmor/profiles";
/** Loading takes a second on slow machines. */
const PARSER_TIMEOUT_MS = 30_000;

/** Everything inside but mounts, and writes to those files of the kernel that reach beyond the container. */
const profile = `#include <tunables/global>
profile ${DEFAULT_PROFILE} flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/base>
  capability,
  file,
  network,
  umount,
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send,receive) peer=${DEFAULT_PROFILE},
  ptrace (trace,read,tracedby,readby) peer=${DEFAULT_PROFILE},
  deny mount,
  deny @{PROC}/{mem,kmem,kcore,sysrq-trigger} rwklx,
  deny @{PROC}/sys/[^kn]** wklx,
  deny @{PROC}/sys/kernel/{[^sm]*,s[^eh]*,m[^s]*}** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/fs/[^c]** wklx,
  deny /sys/kernel/security/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
}
`;

export async function hasLoadedProfile(name: string): Promise<boolean> {
  const loaded = await readFile(LOADED, "utf8");
  return loaded.split("\n").some((line) => line.startsWith(`${name} (`));
}

/** Loads the profile if the kernel does not have it, and returns its name. @throws FAILED_PRECONDITION `apparmor-load-failed` */
export async function loadDefaultProfile(): Promise<string> {
  if (await hasLoadedProfile(DEFAULT_PROFILE)) return DEFAULT_PROFILE;
  const folder = await mkdtemp(join(tmpdir(), "lazuli-apparmor-"));
  try {
    const file = join(folder, "profile");
    await writeFile(file, profile, { mode: 0o600 });
    await promisify(execFile)("/sbin/apparmor_parser", ["-Kr", file], { timeout: PARSER_TIMEOUT_MS });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw failedPrecondition(`Cannot load the profile ${DEFAULT_PROFILE} for AppArmor: ${message}`, {
      reason: "apparmor-load-failed",
      hint: "Set disable_apparmor, or repair apparmor_parser",
      cause,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return DEFAULT_PROFILE;
}
