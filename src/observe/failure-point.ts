/** A place in the code between two durable steps, where a test may end the process. */
export interface FailurePoint {
  readonly name: string;
  /** Does nothing unless `armFailurePoint` chose this point. */
  pass(): void;
}

const points = new Map<string, FailurePoint>();
let armed: { readonly name: string; readonly fire: () => void; passesLeft: number } | undefined;

/** Declares a point, once for each name, as a constant of the module that passes it: `content.commit.renamed`. */
export function failurePoint(name: string): FailurePoint {
  const point: FailurePoint = {
    name,
    pass: () => {
      if (armed?.name !== name) return;
      armed.passesLeft -= 1;
      if (armed.passesLeft === 0) armed.fire();
    },
  };
  points.set(name, point);
  return point;
}

/** The names of all points of the modules that are loaded, sorted. */
export function failurePointNames(): string[] {
  return [...points.keys()].sort();
}

/** Calls `fire` when the point is passed for the `pass`th time; one point at most is armed. */
export function armFailurePoint(options: {
  readonly name: string;
  readonly pass: number;
  readonly fire: () => void;
}): void {
  armed = { name: options.name, fire: options.fire, passesLeft: options.pass };
}
