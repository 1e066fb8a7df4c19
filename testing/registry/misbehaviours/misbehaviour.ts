import type { Behaviour, Rule } from "../behaviour.js";
import type { RegistryServer, RegistryServerOptions } from "../start-registry.js";

/**
 * What each phase must end with; " or " stands between reasons of which a slow machine chooses. A pull ends with the right layer or an error of this reason; a read and a read after a
 * restart with the right bytes or EIO; a prefetch with its range on disk or without, and reads that are right all the same.
 */
export interface PhaseVerdicts {
  readonly pull: string;
  readonly read: "right" | "EIO";
  readonly prefetch: "fetched" | "not fetched";
  readonly resume: "right" | "EIO";
}

/** One way in which a registry misbehaves, for any reader of its blobs. */
export interface Misbehaviour {
  /** Of the catalogue's group N. */
  readonly id: string;
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly server: RegistryServerOptions;
  /** Done to the server as the misbehaviour begins. */
  readonly enter: (server: RegistryServer) => void;
  /** It shows by silence, for which a client must not wait long; for others a slow machine must not look like silence. */
  readonly isSilent: boolean;
  readonly verdicts: PhaseVerdicts;
}

type Extra = Partial<Pick<Misbehaviour, "server" | "enter" | "isSilent">> & {
  readonly verdicts?: Partial<PhaseVerdicts>;
};

export const always = (act: Behaviour): Rule[] => [{ path: /blobs/, act }];
export const once = (act: Behaviour): Rule[] => [{ path: /blobs/, times: 1, act }];

/** Every phase ends well. */
export function outlived(id: string, name: string, rules: readonly Rule[], extra: Extra = {}): Misbehaviour {
  const verdicts = { pull: "right", read: "right", prefetch: "fetched", resume: "right", ...extra.verdicts };
  const usual = { server: {}, enter: () => {}, isSilent: false };
  return { ...usual, ...extra, id, name, rules, verdicts: verdicts as PhaseVerdicts };
}

/** No phase gets bytes; a pull ends for this reason. */
export function refused(
  id: string,
  name: string,
  options: { readonly reason: string; readonly rules: readonly Rule[] } & Extra,
): Misbehaviour {
  const { reason, rules, verdicts, ...extra } = options;
  const ends = { pull: reason, read: "EIO", prefetch: "not fetched", resume: "EIO" } as const;
  return outlived(id, name, rules, { ...extra, verdicts: { ...ends, ...verdicts } });
}
