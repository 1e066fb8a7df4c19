import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerUpdate,
  type ContainerUpdateSchema,
  type LinuxResources,
  LinuxResourcesSchema,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { failedPrecondition } from "../errors/index.js";
import type { NriUpdate } from "./contract.js";
import { mergeResources } from "./merge-resources.js";
import type { Owners } from "./owners.js";
import { runtimeResources } from "./resources-message.js";

interface MergedUpdate {
  resources: LinuxResources;
  isFailureIgnored: boolean;
}

/** What all plugins want changed of containers that are there already. */
export class UpdateMerge {
  readonly #owners: Owners;
  readonly #created: string | undefined;
  readonly #updates = new Map<string, MergedUpdate>();

  /** `created` may not be updated: it is no container yet. */
  constructor(options: { readonly owners: Owners; readonly created?: string | undefined }) {
    this.#owners = options.owners;
    this.#created = options.created;
  }

  /** Begins with the resources that the client asked for. */
  request(id: string, resources: LinuxResources): void {
    this.#updates.set(id, { resources, isFailureIgnored: false });
  }

  /** @throws FAILED_PRECONDITION (reason `nri-conflict` or `nri-update-of-created`) */
  add(updates: readonly ContainerUpdate[], plugin: string): void {
    for (const update of updates) {
      const { containerId: id, ignoreFailure, linux } = update;
      if (id === this.#created) {
        throw failedPrecondition(`plugin "${plugin}" asked update of "${id}" during creation`, {
          subject: id,
          reason: "nri-update-of-created",
        });
      }
      const known = this.#updates.get(id);
      const merged: MergedUpdate = {
        // A copy: nothing of an update that is ignored may stay.
        resources:
          known === undefined ? create(LinuxResourcesSchema) : clone(LinuxResourcesSchema, known.resources),
        isFailureIgnored: ignoreFailure && (known?.isFailureIgnored ?? true),
      };
      try {
        mergeResources(linux?.resources ?? create(LinuxResourcesSchema), {
          targets: [merged.resources],
          claim: (field, key) => this.#owners.claim(id, { field, key, plugin }),
        });
      } catch (thrown) {
        if (ignoreFailure) continue;
        throw thrown;
      }
      this.#updates.set(id, merged);
    }
  }

  /** The resources of one container as all plugins want them. */
  resourcesOf(id: string): LinuxResources | undefined {
    return this.#updates.get(id)?.resources;
  }

  messages(): MessageInitShape<typeof ContainerUpdateSchema>[] {
    return [...this.#updates].map(([containerId, { resources, isFailureIgnored }]) => ({
      containerId,
      linux: { resources },
      ignoreFailure: isFailureIgnored,
    }));
  }

  result(options: { readonly except?: string } = {}): NriUpdate[] {
    return [...this.#updates]
      .filter(([id]) => id !== options.except)
      .map(([id, { resources, isFailureIgnored }]) => nriUpdate(id, { resources, isFailureIgnored }));
  }
}

export function nriUpdate(containerId: string, update: MergedUpdate): NriUpdate {
  const { resources, isFailureIgnored } = update;
  const { blockioClass, rdtClass } = resources;
  return {
    containerId,
    resources: runtimeResources(resources),
    ...(blockioClass !== undefined && { blockioClass: blockioClass.value }),
    ...(rdtClass !== undefined && { rdtClass: rdtClass.value }),
    isFailureIgnored,
  };
}
