import { failedPrecondition } from "../errors/index.js";
import { layerType } from "../oci/index.js";
import type { ProcessorInput, StreamProcessor } from "./contract.js";
import { STEPS_MAX } from "./limits.js";

/** How bytes of a media type become a layer that can be decoded. */
export interface ProcessorChain {
  /** Of what comes out: a layer in tar, compressed or not. */
  readonly mediaType: string;
  run(input: Omit<ProcessorInput, "mediaType">): AsyncIterable<Buffer>;
}

interface Step {
  readonly processor: StreamProcessor;
  readonly mediaType: string;
}

/** Whether a layer has to go through processors, and there are such for it. */
export function needsProcessors(processors: readonly StreamProcessor[], mediaType: string): boolean {
  return (
    !isDecodable(mediaType) && processors.some((processor) => processor.returns(mediaType) !== undefined)
  );
}

/**
 * Puts processors in a row until the media type is one of a layer that can be decoded. Of several for one media type the
 * first is taken. A type that can be decoded needs none, and gets none.
 *
 * @throws FAILED_PRECONDITION `stream-processor-missing`
 */
export function chainProcessors(processors: readonly StreamProcessor[], mediaType: string): ProcessorChain {
  const steps: Step[] = [];
  let current = mediaType;
  while (!isDecodable(current)) {
    const processor = processors.find((candidate) => candidate.returns(current) !== undefined);
    if (processor === undefined || steps.length === STEPS_MAX) throw noProcessor(mediaType, current);
    steps.push({ processor, mediaType: current });
    current = processor.returns(current) ?? current;
  }
  return {
    mediaType: current,
    run: (input) =>
      steps.reduce(
        (bytes, step) => step.processor.run({ ...input, bytes, mediaType: step.mediaType }),
        input.bytes,
      ),
  };
}

function isDecodable(mediaType: string): boolean {
  return layerType(mediaType)?.encrypted === false;
}

function noProcessor(mediaType: string, current: string): Error {
  const shown = JSON.stringify(current.slice(0, 128));
  const from =
    current === mediaType ? "" : `, which was made from ${JSON.stringify(mediaType.slice(0, 128))}`;
  return failedPrecondition(
    `Cannot decode a layer: want a processor for the media type ${shown}${from}, got none`,
    {
      reason: "stream-processor-missing",
      hint: "Name a program for it in [stream_processors]",
    },
  );
}
