/**
 * NRI: plugins of the node that see pods and containers come and go, and adjust containers before they are made.
 *
 *     const nri = await openNri({ socketPath, pluginPath, devices, currentState, onRequest, … });
 *     const { spec, updates, evictions } = await nri.createContainer({ pod, container: { id, spec } });
 */
export type {
  NriContainer,
  NriContainerState,
  NriCreated,
  NriEviction,
  NriPod,
  NriSeccompProfile,
  NriSideEffects,
  NriState,
  NriSubject,
  NriUpdate,
  NriUpdated,
  NriValidatorOptions,
} from "./contract.js";
export { type Nri, type NriOptions, openNri } from "./nri.js";
