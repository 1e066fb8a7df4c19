import { invalidArgument } from "../errors/index.js";

/** The snapshotter that a request names. The messages are containerd's (services/snapshots). @throws INVALID_ARGUMENT */
export function findSnapshotter<Found>(snapshotters: ReadonlyMap<string, Found>, name: string): Found {
  if (name === "") throw invalidArgument("snapshotter argument missing", { reason: "snapshotter-missing" });
  const found = snapshotters.get(name);
  if (found === undefined) {
    throw invalidArgument(`snapshotter not loaded: ${name}`, {
      subject: name,
      reason: "snapshotter-unknown",
      hint: `There are ${[...snapshotters.keys()].join(", ")}: see [snapshotters.<name>] and [proxy_plugins.<name>]`,
    });
  }
  return found;
}
