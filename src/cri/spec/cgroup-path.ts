import { basename, join } from "node:path/posix";
import { CRI_NAMESPACE } from "../contract.js";

export interface CgroupPlace {
  readonly id: string;
  /** The pod's, from the kubelet; "" for none. */
  readonly parent: string;
  readonly isSystemd: boolean;
}

/** A path for cgroupfs, and `slice:prefix:name` for systemd, which a parent that is a slice means too. */
export function cgroupPath({ id, parent, isSystemd }: CgroupPlace): string {
  if (parent === "") return isSystemd ? `system.slice:cri-containerd:${id}` : `/${CRI_NAMESPACE}/${id}`;
  const last = basename(parent);
  return last.endsWith(".slice") ? `${last}:cri-containerd:${id}` : join(parent, id);
}
