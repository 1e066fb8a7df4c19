import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type IdMapping, idMappingOptions } from "../mounts/index.js";
import type { Mount } from "./contract.js";

export interface OverlayOptions {
  /** Further options of every overlay mount, e.g. `volatile`. */
  readonly mountOptions: readonly string[];
  /** The kernel knows `index`; it is turned off, since a lower layer is shared by many mounts. */
  readonly hasIndex: boolean;
  /** Overlay keeps its marks in `user.*`: needed inside a user namespace. */
  readonly isUserxattr: boolean;
  /** Of `redirect_dir` and `metacopy`, those that this kernel has on unless a mount says otherwise. Default: none. */
  readonly defaultsOn?: readonly string[];
}

const PARAMETERS = "/sys/module/overlay/parameters";

/** What this kernel and user namespace need. @param parameters The folder where overlay's defaults are told */
export async function detectOverlay(
  mountOptions: readonly string[] = [],
  parameters = PARAMETERS,
): Promise<OverlayOptions> {
  const isIndexThere = access(join(parameters, "index")).then(
    () => true,
    () => false, // The parameter's file is the only sign there is.
  );
  const uidMap = (await readFile("/proc/self/uid_map", "utf8")).trim().split(/\s+/);
  // The initial namespace maps all ids onto themselves (user_namespaces(7)).
  const isInitial = uidMap[0] === "0" && uidMap[1] === "0" && uidMap[2] === "4294967295";
  const defaultsOn: string[] = [];
  for (const name of ["redirect_dir", "metacopy"]) {
    const value = await readFile(join(parameters, name), "utf8").catch(() => ""); // Not there: not known, not on.
    if (value.trim() === "Y") defaultsOn.push(name);
  }
  return { mountOptions, hasIndex: await isIndexThere, isUserxattr: !isInitial, defaultsOn };
}

export interface SnapshotLayers {
  /** Else a view. */
  readonly isActive: boolean;
  readonly upper: string;
  readonly work: string;
  /** Folders of the ancestors, nearest first. */
  readonly lowers: readonly string[];
  /** Tells a client to map ids. */
  readonly idMapping?: IdMapping | undefined;
}

/** The mounts that containerd's overlayfs snapshotter gives for such a snapshot. */
export function overlayMounts(layers: SnapshotLayers, options: OverlayOptions): readonly Mount[] {
  const { isActive, upper, work, lowers, idMapping } = layers;
  const mapped = idMapping === undefined ? [] : idMappingOptions(idMapping);
  if (lowers.length === 0) return [bind(upper, [...mapped, isActive ? "rw" : "ro"])];
  if (!isActive && lowers.length === 1) return [bind(lowers[0]!, [...mapped, "ro"])];
  return [
    {
      type: "overlay",
      source: "overlay",
      target: "",
      options: [
        ...mapped,
        ...(isActive ? [`workdir=${work}`, `upperdir=${upper}`] : []),
        `lowerdir=${lowers.join(":")}`,
        ...options.mountOptions,
        ...(options.isUserxattr && !isSet(options, "userxattr") ? ["userxattr"] : []),
        ...(options.hasIndex && !isSet(options, "index") ? ["index=off"] : []),
        ...portable(options),
      ],
    },
  ];
}

/**
 * A layer made with `redirect_dir` or `metacopy` says "the folder is that one there" and "the content is down there":
 * whoever mounts or packs it without the same options loses folders and files. With `userxattr` the kernel has both off
 * by itself, and an overlay mount may not name them.
 */
function portable(options: OverlayOptions): readonly string[] {
  if (options.isUserxattr || isSet(options, "userxattr")) return [];
  return (options.defaultsOn ?? []).filter((name) => !isSet(options, name)).map((name) => `${name}=off`);
}

function bind(source: string, options: readonly string[]): Mount {
  return { type: "bind", source, target: "", options: [...options, "rbind"] };
}

function isSet(options: OverlayOptions, name: string): boolean {
  return options.mountOptions.some((option) => option === name || option.startsWith(`${name}=`));
}
