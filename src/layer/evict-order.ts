import type { UnitRange } from "./layer-record.js";
import type { SpaceGroup, SpaceUser } from "./space-contract.js";

/** Who gives up bytes, the first one first. */
export const evictRanks = { idle: 0, idleCostly: 1, running: 2, runningCostly: 3, pinned: 4 } as const;
export const EVICT_RANK_LAST = evictRanks.pinned;

export interface RankFacts {
  /** Numbers of the layers that containers have mounted. */
  readonly inUse: ReadonlySet<number>;
  readonly isPinned: (user: SpaceUser) => boolean;
}

export function evictRank(user: SpaceUser, { inUse, isPinned }: RankFacts): number {
  if (isPinned(user)) return evictRanks.pinned;
  if (inUse.has(user.number)) return user.isCostly ? evictRanks.runningCostly : evictRanks.running;
  return user.isCostly ? evictRanks.idleCostly : evictRanks.idle;
}

/** The groups of some layers that were not used for longest, up to so many bytes; by layer. */
export function chooseGroups(
  users: readonly SpaceUser[],
  bytesWanted: number,
): ReadonlyMap<SpaceUser, readonly UnitRange[]> {
  const all: { readonly user: SpaceUser; readonly group: SpaceGroup }[] = [];
  for (const user of users) for (const group of user.groups()) all.push({ user, group });
  all.sort((left, right) => left.group.lastUse - right.group.lastUse);
  const chosen = new Map<SpaceUser, UnitRange[]>();
  let bytes = 0;
  for (const { user, group } of all) {
    if (bytes >= bytesWanted) break;
    bytes += group.bytes;
    const ranges = chosen.get(user) ?? [];
    ranges.push({ first: group.first, last: group.last });
    chosen.set(user, ranges);
  }
  return chosen;
}

/** `patterns` as in `SpaceBudgetFacts.pinned`. */
export function isPinnedBy(
  patterns: readonly string[],
  { digest, reference }: Pick<SpaceUser, "digest" | "reference">,
): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith("*")
      ? reference.startsWith(pattern.slice(0, -1))
      : pattern === reference || pattern === digest,
  );
}
