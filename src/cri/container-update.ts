import type { UpdateContainerResourcesRequest } from "../../gen/runtime/v1/api_pb.js";
import type { RuntimeResources } from "../cdi/index.js";
import { failedPrecondition } from "../errors/index.js";
import { logPlugin, within } from "./container-create.js";
import { specOf } from "./container-names.js";
import type { ContainerParts } from "./container-parts.js";
import { applyResources, carryOut, nriSubject } from "./container-plugins.js";
import { updatedResources } from "./spec/index.js";

/** UpdateContainerResources: the stored spec, and the cgroup of a container that runs. */
export async function updateContainer(
  parts: ContainerParts,
  { containerId, linux, annotations }: UpdateContainerResourcesRequest,
  signal: AbortSignal,
): Promise<void> {
  const { store, nri, settings, host, lives } = parts;
  const container = store.containers.get(containerId);
  const { id } = container.record;
  if (lives.of(id).phase === "removing") {
    throw failedPrecondition(
      `failed to update resources: container ${JSON.stringify(id)} is in removing state`,
      {
        subject: id,
        reason: "container-busy",
      },
    );
  }
  using _hold = nri?.holdSynchronization();
  const spec = specOf(store.containers.rowOf(id));
  const updated = updatedResources({ spec, resources: linux, settings, facts: await host.facts() });
  let resources: RuntimeResources = updated.linux.resources as RuntimeResources;
  if (nri?.isActive === true) {
    const wanted = await nri
      .updateContainer(nriSubject(parts, container, spec), resources)
      .catch((thrown: unknown) => {
        throw within("NRI container update failed", thrown);
      });
    resources = wanted.resources;
    await carryOut(parts, wanted);
  }
  try {
    await applyResources(parts, { containerId: id, resources, annotations, signal });
  } catch (thrown) {
    throw within("failed to update resources", thrown);
  }
  if (nri?.isActive === true) {
    await nri.postUpdateContainer(nriSubject(parts, store.containers.get(id))).catch(logPlugin(id));
  }
}
