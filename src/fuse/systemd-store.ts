import { LazuliError, unavailable } from "../errors/index.js";
import type { NativeBinding } from "./binding.js";
import type { DescriptorStore, StoredDescriptor } from "./descriptor-store.js";

/** The first descriptor that systemd passes (sd_listen_fds(3)). */
const FIRST_FD = 3;
/** Ours among others in the store. */
const PREFIX = "lazuli-";

export interface SystemdEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined;
  readonly LISTEN_PID?: string | undefined;
  readonly LISTEN_FDS?: string | undefined;
  readonly LISTEN_FDNAMES?: string | undefined;
  /** How many descriptors the unit may store; set by systemd 254 and newer. */
  readonly FDSTORE?: string | undefined;
}

/** Whether systemd runs us with a store that takes something, as far as it tells: before 254 it does not. */
export function hasSystemdStore(environment: SystemdEnvironment): boolean {
  return environment.NOTIFY_SOCKET !== undefined && Number(environment.FDSTORE ?? 0) > 0;
}

/** The store of our unit: `FileDescriptorStoreMax=` of systemd.service(5). */
export function openSystemdStore(options: {
  readonly binding: Pick<NativeBinding, "sendDatagram">;
  readonly environment: SystemdEnvironment;
  readonly pid: number;
}): DescriptorStore {
  const { binding, environment, pid } = options;
  /** What systemd calls each: the facts go with the name, since there is no other place for them. */
  const titles = new Map<string, string>();
  let passed = passedDescriptors(environment, pid);
  for (const { name, facts } of passed) titles.set(name, titleOf(name, facts));
  const tell = async (text: string, fds: readonly number[]): Promise<void> => {
    try {
      binding.sendDatagram(environment.NOTIFY_SOCKET ?? "", Buffer.from(text), fds);
    } catch (thrown) {
      throw unavailable(`Cannot reach systemd's store of descriptors: ${LazuliError.from(thrown).message}`, {
        reason: "systemd-unavailable",
        cause: thrown,
      });
    }
  };
  const drop = async (name: string): Promise<void> => {
    const title = titles.get(name);
    if (title === undefined) return;
    titles.delete(name);
    await tell(`FDSTOREREMOVE=1\nFDNAME=${title}\n`, []);
  };
  return {
    kind: "systemd",
    take: async () => {
      const taken = passed;
      passed = [];
      return taken;
    },
    put: async ({ name, facts, fd }) => {
      await drop(name);
      const title = titleOf(name, facts);
      await tell(`FDSTORE=1\nFDNAME=${title}\n`, [fd]);
      titles.set(name, title);
    },
    drop,
    // systemd loses nothing while it runs us.
    onLost: () => undefined,
    close: () => undefined,
  };
}

function titleOf(name: string, facts: string): string {
  return `${PREFIX}${name}/${facts}`;
}

function passedDescriptors(environment: SystemdEnvironment, pid: number): readonly StoredDescriptor[] {
  if (environment.LISTEN_PID !== String(pid)) return [];
  const names = (environment.LISTEN_FDNAMES ?? "").split(":");
  const found: StoredDescriptor[] = [];
  for (let index = 0; index < Number(environment.LISTEN_FDS ?? 0); index += 1) {
    const title = names[index] ?? "";
    const slash = title.indexOf("/");
    if (!title.startsWith(PREFIX) || slash < 0) continue;
    found.push({
      name: title.slice(PREFIX.length, slash),
      facts: title.slice(slash + 1),
      fd: FIRST_FD + index,
    });
  }
  return found;
}
