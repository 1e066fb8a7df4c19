/** Bytes of a profile's document; a longer one of strangers is refused, our own is cut. */
export const PROFILE_BYTES_MAX = 1024 * 1024;
/** Entries, and files that they are of; beyond it as above. */
export const ENTRIES_MAX = 65_536;
/** Bytes that all entries that are used have together; those behind are left out. */
export const PLANNED_BYTES_MAX = 512 * 1024 * 1024;
/** Layers of an image; overlayfs takes 500 lower folders. */
export const LAYERS_MAX = 512;
/** Words of a command and its characters; a longer one is cut. */
export const COMMAND_WORDS_MAX = 64;
export const COMMAND_CHARACTERS_MAX = 4096;
/** Times of an entry that are kept: their median says its place. */
export const TIMES_MAX = 5;
/** A later read than this is none of a start. */
export const TIME_MS_MAX = 3_600_000;
/** When a profile has so many starts, all counts are halved, so that what changed in an image wears off. */
export const STARTS_MAX = 32;
/** From so many starts on, what only few of them read is left out. */
export const STARTS_SIFTED = 3;
/** What a smaller part of the starts read is left out then. */
export const STARTS_PART_MIN = 0.4;
/**
 * A start that read less than this part of what its profile has of a layer found that layer warm: the kernel answers what
 * it has read before, and nobody sees it. It tells nothing of the layer.
 */
export const COLD_PART_MIN = 0.5;
/** Linux PATH_MAX and NAME_MAX. */
export const PATH_BYTES_MAX = 4096;
export const NAME_BYTES_MAX = 255;
/** Profiles that a node keeps; the one that was used longest ago goes. */
export const PROFILES_MAX = 256;
/** Referrers that are looked at, and those of them that are fetched before it is given up. */
export const REFERRERS_MAX = 64;
export const CANDIDATES_MAX = 4;
/** Longest look for a profile at a registry. */
export const FIND_TIMEOUT_MS = 10_000;
/** Images that are replayed at once; the oldest is left to its readers. */
export const SESSIONS_MAX = 64;
/** Layers that files of a layer that the image has not are looked for in. */
export const STRAY_LAYERS_MAX = 16;
/** Layers that get ready within this time are planned together, so that their reads keep one order. */
export const GATHER_MS = 10;
/** Starts that wait to be learnt; further ones are left out. */
export const LEARNS_WAITING_MAX = 16;
/** An image without a profile is not asked for again for so long: each of its layers comes with a Prepare. */
export const NONE_REMEMBERED_MS = 10_000;
/** Images whose manifest is remembered; starts of the oldest are learnt by their layers. */
export const IMAGES_KNOWN_MAX = 1024;
