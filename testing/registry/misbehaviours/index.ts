/** Group N of the catalogue: how a registry misbehaves towards a pull, a read, a prefetch and a read after a restart. */
import { bodyMisbehaviours } from "./bodies.js";
import type { Misbehaviour } from "./misbehaviour.js";
import { rangeMisbehaviours } from "./ranges.js";
import { routeMisbehaviours } from "./routes.js";
import { statusMisbehaviours } from "./statuses.js";

export type { Misbehaviour, PhaseVerdicts } from "./misbehaviour.js";

export const misbehaviours: readonly Misbehaviour[] = [
  ...rangeMisbehaviours,
  ...bodyMisbehaviours,
  ...statusMisbehaviours,
  ...routeMisbehaviours,
];
