import { invalidArgument, type LazuliError } from "../errors/index.js";
import type { ActiveMount } from "./activation.js";

/** `{{ name number number }}` of Go's text/template, with its marks that trim what lies around. */
const ACTION = /(\s*)\{\{(-?)\s*([^{}]*?)\s*(-?)\}\}(\s*)/g;
const WORDS_MAX = 16;

type Call = (active: readonly ActiveMount[], numbers: readonly number[]) => string;

const calls: Readonly<Record<string, { readonly count: number; readonly call: Call }>> = {
  source: { count: 1, call: (active, [at]) => activeAt(active, at!).mount.source },
  target: { count: 1, call: (active, [at]) => activeAt(active, at!).mount.target },
  mount: { count: 1, call: (active, [at]) => activeAt(active, at!).mountPoint },
  overlay: { count: 2, call: (active, [start, end]) => lowers(active, start!, end!) },
};

/**
 * Fills in a mount's text from the mounts before it: `{{ source 0 }}`, `{{ target 0 }}`, `{{ mount 0 }}` and, as layers
 * for overlayfs, `{{ overlay 0 2 }}`, which counts down when the second is less. @throws INVALID_ARGUMENT
 */
export function filledIn(text: string, active: readonly ActiveMount[]): string {
  if (!text.includes("{{")) return text;
  const rest = text.replace(ACTION, "");
  if (rest.includes("{{")) throw invalid(text, "template: :1: unclosed action");
  return text.replace(
    ACTION,
    (_all, before: string, trimsLeft: string, body: string, trimsRight: string, after: string) => {
      const value = called(text, body, active);
      return `${trimsLeft === "" ? before : ""}${value}${trimsRight === "" ? after : ""}`;
    },
  );
}

function called(text: string, body: string, active: readonly ActiveMount[]): string {
  const [name = "", ...args] = body.split(/\s+/, WORDS_MAX);
  if (name === "") throw invalid(text, "template: :1: missing value for command");
  const known = Object.hasOwn(calls, name) ? calls[name] : undefined;
  if (known === undefined) throw invalid(text, `template: :1: function ${JSON.stringify(name)} not defined`);
  const place = `template: :1:${text.indexOf(body)}: executing "" at <${body}>:`;
  if (args.length !== known.count) {
    throw invalid(text, `${place} wrong number of args for ${name}: want ${known.count} got ${args.length}`);
  }
  const numbers = args.map((arg) => (/^[+-]?\d{1,9}$/.test(arg) ? Number(arg) : undefined));
  const at = numbers.indexOf(undefined);
  if (at >= 0) throw invalid(text, `${place} expected integer; found ${args[at]}`);
  try {
    return known.call(active, numbers as number[]);
  } catch (thrown) {
    throw invalid(text, `${place} error calling ${name}: ${(thrown as Error).message}`);
  }
}

function activeAt(active: readonly ActiveMount[], at: number): ActiveMount {
  const found = active[at];
  if (found === undefined)
    throw new RangeError(`index out of bounds: ${at}, has ${active.length} active mounts`);
  return found;
}

function lowers(active: readonly ActiveMount[], start: number, end: number): string {
  const low = Math.min(start, end);
  const high = Math.max(start, end);
  if (low < 0 || high >= active.length) {
    throw new RangeError(`invalid range: ${start}-${end}, has ${active.length} active mounts`);
  }
  const places = active.slice(low, high + 1).map(({ mountPoint }) => mountPoint);
  return (start > end ? places.reverse() : places).join(":");
}

function invalid(subject: string, message: string): LazuliError {
  return invalidArgument(message, { subject, reason: "mount-template-invalid" });
}
