import { readdir } from "node:fs/promises";

/** Folders of one certs.d that are looked at. */
const FOLDERS_MAX = 4096;

/** The `host:port` names for a host that folders of hosts.toml files have, as `host:port` or `host_port_`. */
export async function configuredPorts(folders: readonly string[], host: string): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const folder of folders) {
    // A folder that is not there configures nothing.
    const names = await readdir(folder).catch(() => []);
    for (const name of names.slice(0, FOLDERS_MAX)) {
      const port = /^(.+)(?::(\d{1,5})|_(\d{1,5})_)$/.exec(name);
      if (port?.[1] === host) found.add(`${host}:${port[2] ?? port[3]}`);
    }
  }
  return [...found];
}
