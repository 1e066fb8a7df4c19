import { readFile } from "node:fs/promises";
import { notFound } from "../errors/index.js";

export interface SocketOwnerOptions {
  readonly uid: number;
  readonly gid: number;
  /** Name of a group, which stands in the place of `gid`. */
  readonly group: string | undefined;
  /** Left out: the node's. */
  readonly groupFile?: string;
}

/** Ids of who has a socket; undefined where that is who runs the daemon. @throws NOT_FOUND for an unknown group */
export async function socketOwner(
  options: SocketOwnerOptions,
): Promise<{ uid: number; gid: number } | undefined> {
  const { uid, group } = options;
  const gid = group === undefined ? options.gid : await groupId(group, options.groupFile ?? "/etc/group");
  return uid === 0 && gid === 0 ? undefined : { uid, gid };
}

/** From lines of the form `name:password:id:members` (group(5)). */
async function groupId(group: string, file: string): Promise<number> {
  const lines = (await readFile(file, "utf8")).split("\n").map((line) => line.split(":"));
  const id = lines.find(([name]) => name === group)?.[2];
  if (id !== undefined && /^\d+$/.test(id)) return Number(id);
  throw notFound(`Cannot give the socket to a group: want a name in ${file}, got "${group}"`, {
    subject: group,
    reason: "group-missing",
    hint: "`groupadd` makes it; [daemon] gid takes its number where it is not in that file",
  });
}
