import { invalidArgument } from "../errors/index.js";

export interface PluginName {
  /** Two digits: the place in the order of the plugins. */
  readonly index: string;
  readonly base: string;
}

const BASE_LENGTH_MAX = 128;

export function shownName({ index, base }: PluginName): string {
  return `${index}-${base}`;
}

/** @throws INVALID_ARGUMENT (reason `nri-bad-name`) */
export function checkPluginName({ index, base }: PluginName): void {
  if (/^[0-9]{2}$/.test(index) && /^[A-Za-z0-9_.+-]+$/.test(base) && base.length <= BASE_LENGTH_MAX) return;
  throw invalidArgument(
    `Cannot register a plugin: want two digits and a name of letters, digits, "_", ".", "+" and "-", got ${JSON.stringify(index)} and ${JSON.stringify(base)}`,
    { reason: "nri-bad-name" },
  );
}

/** NN-name. @throws INVALID_ARGUMENT (reason `nri-bad-name`) */
export function parsePluginName(text: string): PluginName {
  const dash = text.indexOf("-");
  const name = { index: text.slice(0, Math.max(dash, 0)), base: text.slice(dash + 1) };
  checkPluginName(name);
  return name;
}
