import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { invalidArgument, type LazuliError } from "../errors/index.js";

/** As containerd calls it, so that a node that changes has one such file. */
const CONF_NAME = "10-containerd-net.conflist";
const TEMPLATE_BYTES_MAX = 1024 * 1024;
/** Ranges of a node: one of each kind is usual. */
const RANGES_MAX = 64;

interface Values {
  readonly PodCIDR: string;
  readonly PodCIDRRanges: readonly string[];
  readonly Routes: readonly string[];
}

/**
 * Writes the config of the pods' network from a template in the part of Go's language that such templates use: fields,
 * `range $i, $x := .Field`, `if $i`, variables and `end`. @throws INVALID_ARGUMENT
 */
export async function renderNetworkTemplate(request: {
  readonly template: string;
  readonly folder: string;
  /** `10.88.0.0/16,2001:db8::/64`. */
  readonly ranges: string;
}): Promise<void> {
  const { template, folder } = request;
  const ranges = request.ranges.split(",").map((one) => one.trim());
  const families = new Set(ranges.map(familyOf));
  const bytes = await readFile(template);
  if (bytes.length > TEMPLATE_BYTES_MAX || ranges.length > RANGES_MAX) {
    throw templateInvalid(`want at most ${TEMPLATE_BYTES_MAX} bytes and ${RANGES_MAX} ranges`);
  }
  const text = renderTemplate(bytes.toString("utf8"), {
    PodCIDR: ranges[0] ?? "",
    PodCIDRRanges: ranges,
    Routes: [...(families.has(4) ? ["0.0.0.0/0"] : []), ...(families.has(6) ? ["::/0"] : [])],
  });
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const file = join(folder, CONF_NAME);
  const draft = join(folder, `.${CONF_NAME}.new`);
  await writeFile(draft, text, { mode: 0o644 });
  await rename(draft, file);
}

interface Frame {
  readonly kind: "range" | "if";
  /** Index of the token after the one that opened it. */
  readonly start: number;
  readonly items: readonly string[];
  readonly names: readonly [string, string];
  at: number;
}

/** @throws INVALID_ARGUMENT `cni-template-invalid` */
export function renderTemplate(template: string, values: Values): string {
  const tokens = template.split(/(\{\{-?[^}]*-?\}\})/);
  const frames: Frame[] = [];
  const out: string[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] ?? "";
    const action = /^\{\{-?\s*(.*?)\s*-?\}\}$/.exec(token)?.[1];
    const isSkipped = frames.some(({ items, at: index }) => index >= items.length);
    if (action === undefined) {
      if (!isSkipped) out.push(token);
    } else if (action === "end") {
      const frame = frames.at(-1);
      if (frame === undefined) throw templateInvalid("an end without a beginning");
      frame.at += 1;
      if (frame.kind === "range" && frame.at < frame.items.length) at = frame.start - 1;
      else frames.pop();
    } else if (/^(range|if)\b/.test(action)) {
      frames.push(frameOf({ action, start: at + 1, frames, values }));
    } else if (!isSkipped) {
      out.push(textOf(action, { frames, values }));
    }
  }
  if (frames.length > 0) throw templateInvalid("a beginning without an end");
  return out.join("");
}

function frameOf(request: {
  readonly action: string;
  readonly start: number;
  readonly frames: readonly Frame[];
  readonly values: Values;
}): Frame {
  const { action, start, frames, values } = request;
  const range = /^range\s+(\$\w+)\s*,\s*(\$\w+)\s*:=\s*\.(\w+)$/.exec(action);
  if (range !== null) {
    const list = Object.hasOwn(values, range[3]!) ? values[range[3] as keyof Values] : undefined;
    if (!Array.isArray(list)) throw templateInvalid(`no list .${range[3]}`);
    return { kind: "range", start, items: list as string[], names: [range[1]!, range[2]!], at: 0 };
  }
  const condition = /^if\s+(\$?[.\w]+)$/.exec(action)?.[1];
  if (condition === undefined) throw templateInvalid(`can't read {{${action}}}`);
  const value = textOf(condition, { frames, values });
  return { kind: "if", start, items: value === "" || value === "0" ? [] : [""], names: ["", ""], at: 0 };
}

function textOf(name: string, at: { readonly frames: readonly Frame[]; readonly values: Values }): string {
  for (const { names, items, at: index } of at.frames.toReversed()) {
    if (name === names[0]) return String(index);
    if (name === names[1]) return items[index] ?? "";
  }
  const field = name.slice(1);
  if (name.startsWith(".") && Object.hasOwn(at.values, field))
    return String(at.values[field as keyof Values]);
  throw templateInvalid(`unknown {{${name}}}`);
}

function familyOf(range: string): number {
  const [address = "", prefix = ""] = range.split("/");
  const family = isIP(address);
  if (family !== 0 && /^[0-9]{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128))
    return family;
  throw invalidArgument(`get routes: invalid CIDR address: ${range}`, {
    subject: range,
    reason: "pod-range-invalid",
  });
}

function templateInvalid(problem: string): LazuliError {
  return invalidArgument(`failed to parse cni config template: ${problem}`, {
    reason: "cni-template-invalid",
  });
}
