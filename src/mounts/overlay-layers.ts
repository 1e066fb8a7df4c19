import { resourceExhausted } from "../errors/index.js";

/** A layer below, as `lowerdir` names it. */
export interface OverlayLower {
  readonly path: string;
  /** It gives content only, for files of the layers above that say so ("::" before it). */
  readonly isDataOnly: boolean;
}

type Setting = readonly [string, string | undefined];

/** The kernel copies one page of mount(2)'s options, and its last byte is a zero. */
export const OPTION_PAGE_BYTES = 4095;

/** Splits `lowerdir`'s value: layers stand between colons, and a backslash takes a colon's meaning away. */
export function splitLowers(value: string): OverlayLower[] {
  const lowers: OverlayLower[] = [];
  let path = "";
  let colons = 0;
  const end = (): void => {
    if (path !== "") lowers.push({ path, isDataOnly: colons > 1 });
    if (path !== "") colons = 0;
    path = "";
  };
  for (let index = 0; index < value.length; index += 1) {
    const sign = value[index]!;
    if (sign === ":") {
      end();
      colons += 1;
    } else {
      if (sign === "\\" && index + 1 < value.length) index += 1;
      path += value[index]!;
    }
  }
  end();
  return lowers;
}

/** The options of an overlay, with the layers apart. */
export interface OverlaySettings {
  readonly lowers: readonly OverlayLower[];
  /** All but `lowerdir`. */
  readonly others: readonly Setting[];
}

export function overlaySettings(settings: readonly Setting[]): OverlaySettings {
  return {
    lowers: settings.flatMap(([key, value]) => (key === "lowerdir" ? splitLowers(value ?? "") : [])),
    others: settings.filter(([key]) => key !== "lowerdir"),
  };
}

/** The options of mount(2). */
export function overlayData({ lowers, others }: OverlaySettings): string {
  const below = lowers
    .map(({ path, isDataOnly }, index) => `${index === 0 ? "" : isDataOnly ? "::" : ":"}${escaped(path)}`)
    .join("");
  const parts = others.map(([key, value]) =>
    value === undefined ? key : `${key}=${escapedValue(key, value)}`,
  );
  return [...parts, ...(lowers.length > 0 ? [`lowerdir=${below}`] : [])].join(",");
}

function escaped(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

/** Only in paths: other values are written as they are. */
function escapedValue(key: string, value: string): string {
  return key === "upperdir" || key === "workdir" ? value.replace(/[\\,]/g, "\\$&") : value;
}

export function fitsPage(data: string): boolean {
  return Buffer.byteLength(data) <= OPTION_PAGE_BYTES;
}

/** The deepest folder that all layers lie in, and the same layers seen from there. */
export function seenFromParent(lowers: readonly OverlayLower[]): {
  readonly folder: string;
  readonly lowers: readonly OverlayLower[];
} {
  const [first, ...rest] = lowers.map(({ path }) => path.split("/"));
  let common = 0;
  const isShared = (index: number): boolean =>
    first !== undefined &&
    index < first.length - 1 &&
    rest.every((parts) => index < parts.length - 1 && parts[index] === first[index]);
  while (isShared(common)) common += 1;
  const folder = first?.slice(0, common).join("/") ?? "";
  return {
    folder: folder === "" ? "/" : folder,
    lowers: lowers.map((lower) => ({ ...lower, path: lower.path.split("/").slice(common).join("/") })),
  };
}

export function tooLong(data: string, target: string) {
  return resourceExhausted(
    `Cannot mount overlay on ${target}: want options of ${OPTION_PAGE_BYTES} bytes at most, got ${Buffer.byteLength(data)}`,
    {
      subject: target,
      reason: "mount-options-too-long",
      hint: "Linux 6.8 takes layers one by one, up to 500",
    },
  );
}
