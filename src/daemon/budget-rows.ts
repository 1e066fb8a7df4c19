import type { OpenLayerEngine } from "../layer/index.js";
import type { Registry } from "../registry/index.js";
import type { BudgetRow } from "../services/index.js";
import { formatSize } from "./units.js";

export interface BudgetParts {
  readonly engine: Pick<OpenLayerEngine, "budgets" | "figures">;
  readonly registry: Pick<Registry, "figures" | "requestsPerHostMax">;
}

/** What this process may use, and does, for `lazuli status`. */
export function budgetRows({ engine, registry }: BudgetParts): BudgetRow[] {
  const { space, memory, descriptors } = engine.budgets;
  const { bytesInFlight } = engine.figures;
  const host = registry.requestsPerHostMax;
  return [
    {
      ...{ name: "disk", subject: "", unit: "bytes" },
      used: space.usedBytes,
      limit: space.limitBytes,
      detail: spaceDetail(space),
    },
    {
      ...{ name: "in-flight", subject: "", unit: "bytes" },
      used: bytesInFlight,
      limit: memory.bytesInFlightMax,
      detail: memory.limitBytes === 0 ? "" : `${mebibytes(memory.freeBytes)} of memory free`,
    },
    {
      ...{ name: "descriptors", subject: "", unit: "count" },
      used: descriptors.used,
      limit: descriptors.limit,
      detail: `${descriptors.reserved} are kept from layers`,
    },
    ...registry.figures.map(
      ({ origin, running, waiting }): BudgetRow => ({
        ...{ name: "requests", subject: origin, unit: "count" },
        used: running,
        limit: host,
        detail: `${waiting} waiting`,
      }),
    ),
  ];
}

function spaceDetail(space: BudgetParts["engine"]["budgets"]["space"]): string {
  const { limitBytes, evictedBytes, evictionRounds, reservedBytes, overdrafts } = space;
  const gone = `${mebibytes(evictedBytes)} given up in ${evictionRounds} rounds`;
  if (limitBytes === 0) return gone;
  return `${mebibytes(reservedBytes)} on their way, ${gone}, ${overdrafts} requests let beyond`;
}

function mebibytes(bytes: number): string {
  return bytes < 2 ** 20 ? "0MiB" : formatSize(Math.floor(bytes / 2 ** 20) * 2 ** 20);
}
