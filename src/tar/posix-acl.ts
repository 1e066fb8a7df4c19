const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const VERSION = 2;
const PERMISSIONS_MAX = 7;

const tags = { owner: 0x01, user: 0x02, owningGroup: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
/** Tags in the order that a list must have; those of the same rank may come more than once. */
const named: readonly number[] = [tags.user, tags.group];

/**
 * What a kernel keeps of `system.posix_acl_access` once the file's mode is set behind it: the permissions of owner,
 * mask (or group) and others follow the mode, and a list that says no more than a mode is gone.
 * @returns "malformed" for what a kernel refuses; undefined if nothing is kept
 */
export function aclAfterChmod(value: Buffer, mode: number): Buffer | "malformed" | undefined {
  if (value.length < HEADER_BYTES) return "malformed";
  // A kernel says "not supported" to another version, and containerd goes on without the list.
  if (value.readUInt32LE(0) !== VERSION) return undefined;
  if ((value.length - HEADER_BYTES) % ENTRY_BYTES !== 0) return "malformed";
  const count = (value.length - HEADER_BYTES) / ENTRY_BYTES;
  if (count === 0) return undefined;
  const kept = Buffer.from(value);
  const seen = new Set<number>();
  let isNamed = false;
  let last = 0;
  for (let at = HEADER_BYTES; at < kept.length; at += ENTRY_BYTES) {
    const tag = kept.readUInt16LE(at);
    const isTag = Object.values<number>(tags).includes(tag);
    if (!isTag || kept.readUInt16LE(at + 2) > PERMISSIONS_MAX || tag < last) return "malformed";
    if (seen.has(tag) && !named.includes(tag)) return "malformed";
    isNamed ||= named.includes(tag);
    seen.add(tag);
    last = tag;
  }
  const isWhole = seen.has(tags.owner) && seen.has(tags.owningGroup) && seen.has(tags.other);
  if (!isWhole || (isNamed && !seen.has(tags.mask))) return "malformed";
  if (!isNamed && !seen.has(tags.mask)) return undefined;
  for (let at = HEADER_BYTES; at < kept.length; at += ENTRY_BYTES) {
    const tag = kept.readUInt16LE(at);
    if (tag === tags.owner) kept.writeUInt16LE((mode >> 6) & PERMISSIONS_MAX, at + 2);
    else if (tag === tags.mask) kept.writeUInt16LE((mode >> 3) & PERMISSIONS_MAX, at + 2);
    else if (tag === tags.other) kept.writeUInt16LE(mode & PERMISSIONS_MAX, at + 2);
    // A kernel gives out no id for entries without a name.
    if (!named.includes(tag)) kept.writeUInt32LE(0xffffffff, at + 4);
  }
  return kept;
}
