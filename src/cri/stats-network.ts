import { readFile } from "node:fs/promises";

/** Counters of one interface since it was made. */
export interface InterfaceFacts {
  readonly name: string;
  readonly receivedBytes: bigint;
  readonly receivedPackets: bigint;
  readonly receivedErrors: bigint;
  readonly receivedDropped: bigint;
  readonly sentBytes: bigint;
  readonly sentPackets: bigint;
  readonly sentErrors: bigint;
  readonly sentDropped: bigint;
}

const COUNTERS = 16;
/** Interfaces of a pod that are told; further ones are left out. */
const INTERFACES_MAX = 256;

/** Interfaces of the network namespace that a process is in, without the loopback; none when the process is gone. */
export async function interfacesOf(pid: number, procFolder = "/proc"): Promise<readonly InterfaceFacts[]> {
  if (pid <= 0) return [];
  try {
    return parseInterfaces(await readFile(`${procFolder}/${pid}/net/dev`, "latin1"));
  } catch {
    // The process has ended.
    return [];
  }
}

/** The lines of /proc/net/dev: a name, then eight counters for each direction. */
export function parseInterfaces(text: string): readonly InterfaceFacts[] {
  return text
    .split("\n")
    .flatMap((line) => {
      const colon = line.lastIndexOf(":");
      const name = line.slice(0, Math.max(colon, 0)).trim();
      const counters = line
        .slice(colon + 1)
        .trim()
        .split(/\s+/);
      const isWhole = counters.length === COUNTERS && counters.every((one) => /^\d{1,20}$/.test(one));
      if (name === "" || name === "lo" || !isWhole) return [];
      const at = (index: number): bigint => BigInt(counters[index]!);
      return [
        {
          name,
          receivedBytes: at(0),
          receivedPackets: at(1),
          receivedErrors: at(2),
          receivedDropped: at(3),
          sentBytes: at(8),
          sentPackets: at(9),
          sentErrors: at(10),
          sentDropped: at(11),
        },
      ];
    })
    .slice(0, INTERFACES_MAX);
}

/** The one that counts as the pod's: eth0, or else the first. */
export function defaultInterface(interfaces: readonly InterfaceFacts[]): InterfaceFacts | undefined {
  return interfaces.find(({ name }) => name === "eth0") ?? interfaces[0];
}
