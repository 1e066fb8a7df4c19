/**
 * Stream processors: what turns a layer's bytes into ones that can be decoded, by media type, as in containerd.
 *
 *     const processors = [externalProcessor({ name, accepts, returns, path, args, env }), decryptor({ keys })];
 *     const chain = chainProcessors(processors, mediaType);
 *     for await (const bytes of chain.run({ digest, size, annotations, bytes, signal })) … // of chain.mediaType
 */
export { chainProcessors, needsProcessors, type ProcessorChain } from "./chain.js";
export type { ProcessorInput, StreamProcessor } from "./contract.js";
export { decryptor } from "./decryptor.js";
export { type ExternalProcessorOptions, externalProcessor } from "./external-processor.js";
