import { invalidArgument } from "../errors/index.js";
import { type IdMapping, parseIdRanges } from "../mounts/index.js";

/** The labels with which a client asks for a tree of a user namespace: "container:host:size", commas between ranges. */
export const UID_MAPPING_LABEL = "containerd.io/snapshot/uidmapping";
export const GID_MAPPING_LABEL = "containerd.io/snapshot/gidmapping";

/**
 * The mapping that a snapshot's labels ask for; undefined for none.
 * @throws INVALID_ARGUMENT `id-mapping-invalid`
 */
export function idMappingOf(labels: Readonly<Record<string, string>>): IdMapping | undefined {
  const uids = labels[UID_MAPPING_LABEL];
  const gids = labels[GID_MAPPING_LABEL];
  if (uids === undefined && gids === undefined) return undefined;
  if (uids === undefined || gids === undefined) {
    const missing = uids === undefined ? UID_MAPPING_LABEL : GID_MAPPING_LABEL;
    throw invalidArgument(`Cannot map ids: want both labels, got no ${missing}`, {
      subject: missing,
      reason: "id-mapping-invalid",
    });
  }
  return { uids: parseIdRanges(uids), gids: parseIdRanges(gids) };
}
