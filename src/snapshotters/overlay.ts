import { access, readFile } from "node:fs/promises";
import type { Mount } from "./contract.js";

export interface OverlayOptions {
  /** Further options of every overlay mount, e.g. `volatile`. */
  readonly mountOptions: readonly string[];
  /** The kernel knows `index`; it is turned off, since a lower layer is shared by many mounts. */
  readonly hasIndex: boolean;
  /** Overlay keeps its marks in `user.*`: needed inside a user namespace. */
  readonly isUserxattr: boolean;
}

/** What this kernel and user namespace need. */
export async function detectOverlay(mountOptions: readonly string[] = []): Promise<OverlayOptions> {
  const isIndexThere = access("/sys/module/overlay/parameters/index").then(
    () => true,
    () => false, // The parameter's file is the only sign there is.
  );
  const uidMap = (await readFile("/proc/self/uid_map", "utf8")).trim().split(/\s+/);
  // The initial namespace maps all ids onto themselves (user_namespaces(7)).
  const isInitial = uidMap[0] === "0" && uidMap[1] === "0" && uidMap[2] === "4294967295";
  return { mountOptions, hasIndex: await isIndexThere, isUserxattr: !isInitial };
}

export interface SnapshotLayers {
  /** Else a view. */
  readonly isActive: boolean;
  readonly upper: string;
  readonly work: string;
  /** Folders of the ancestors, nearest first. */
  readonly lowers: readonly string[];
}

/** The mounts that containerd's overlayfs snapshotter gives for such a snapshot. */
export function overlayMounts(layers: SnapshotLayers, options: OverlayOptions): readonly Mount[] {
  const { isActive, upper, work, lowers } = layers;
  if (lowers.length === 0) return [bind(upper, isActive ? "rw" : "ro")];
  if (!isActive && lowers.length === 1) return [bind(lowers[0]!, "ro")];
  return [
    {
      type: "overlay",
      source: "overlay",
      target: "",
      options: [
        ...(isActive ? [`workdir=${work}`, `upperdir=${upper}`] : []),
        `lowerdir=${lowers.join(":")}`,
        ...options.mountOptions,
        ...(options.isUserxattr && !isSet(options, "userxattr") ? ["userxattr"] : []),
        ...(options.hasIndex && !isSet(options, "index") ? ["index=off"] : []),
      ],
    },
  ];
}

function bind(source: string, access: "rw" | "ro"): Mount {
  return { type: "bind", source, target: "", options: [access, "rbind"] };
}

function isSet(options: OverlayOptions, name: string): boolean {
  return options.mountOptions.some((option) => option === name || option.startsWith(`${name}=`));
}
