import type { MessageInitShape } from "@bufbuild/protobuf";
import { Field, type OwningPluginsSchema } from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { failedPrecondition } from "../errors/index.js";
import { REMOVAL_MARK } from "./removal.js";

interface ContainerOwners {
  readonly simple: Map<Field, string>;
  readonly compound: Map<Field, Map<string, string>>;
}

/**
 * Which plugin has set what, of each container that a call is about. Nobody may set what another has set; but a plugin
 * may take away what is there, and then set it.
 */
export class Owners {
  readonly #containers = new Map<string, ContainerOwners>();

  /** @throws FAILED_PRECONDITION (reason `nri-conflict`); `key` is for fields with many parts */
  claim(id: string, claim: { field: Field; key?: string | undefined; plugin: string }): void {
    const { field, key, plugin } = claim;
    const { simple, compound } = this.#of(id);
    const other = key === undefined ? simple.get(field) : compound.get(field)?.get(key);
    if (other !== undefined && other !== REMOVAL_MARK + plugin) {
      const name = other.startsWith(REMOVAL_MARK) ? other.slice(1) : other;
      const what = key === undefined ? Field[field] : `${Field[field]} ${key}`;
      throw failedPrecondition(`plugins "${plugin}" and "${name}" both tried to set ${what}`, {
        subject: id,
        reason: "nri-conflict",
        hint: "Only one NRI plugin may set it: change the configuration of one",
      });
    }
    this.#set(id, { field, key, owner: plugin });
  }

  /** Notes that a plugin has taken away what is there: it alone may set it now. */
  clear(id: string, claim: { field: Field; key?: string | undefined; plugin: string }): void {
    this.#set(id, { ...claim, owner: REMOVAL_MARK + claim.plugin });
  }

  /** Hooks add up: they have many owners. */
  join(id: string, claim: { field: Field; plugin: string }): void {
    const others = this.owner(id, claim.field);
    this.#set(id, { ...claim, owner: others === undefined ? claim.plugin : `${others},${claim.plugin}` });
  }

  owner(id: string, field: Field): string | undefined {
    return this.#containers.get(id)?.simple.get(field);
  }

  owners(id: string, field: Field): ReadonlyMap<string, string> {
    return this.#containers.get(id)?.compound.get(field) ?? new Map();
  }

  message(): MessageInitShape<typeof OwningPluginsSchema> {
    const owners = [...this.#containers].map(([id, { simple, compound }]) => [
      id,
      {
        simple: Object.fromEntries(simple),
        compound: Object.fromEntries(
          [...compound].map(([field, keys]) => [field, { owners: Object.fromEntries(keys) }]),
        ),
      },
    ]);
    return { owners: Object.fromEntries(owners) };
  }

  #of(id: string): ContainerOwners {
    const known = this.#containers.get(id) ?? { simple: new Map(), compound: new Map() };
    this.#containers.set(id, known);
    return known;
  }

  #set(id: string, { field, key, owner }: { field: Field; key?: string | undefined; owner: string }): void {
    const { simple, compound } = this.#of(id);
    if (key === undefined) {
      simple.set(field, owner);
      return;
    }
    const keys = compound.get(field) ?? new Map<string, string>();
    compound.set(field, keys.set(key, owner));
  }
}
