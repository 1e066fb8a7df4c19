import { decryptor, externalProcessor, type StreamProcessor } from "../processors/index.js";
import type { Config } from "./config-keys.js";

/** In the order in which they are asked: programs that the config names, then our own decryption. */
export function streamProcessorsOf({ streamProcessors, decryption }: Config): readonly StreamProcessor[] {
  const programs = Object.entries(streamProcessors).map(([name, table]) =>
    externalProcessor({ name, ...table }),
  );
  return [...programs, decryptor({ keys: decryption.keys })];
}

/** What single keys can't say about programs. */
export function checkStreamProcessors({ streamProcessors }: Config): readonly string[] {
  const problems: string[] = [];
  const takers = new Map<string, string>();
  for (const [name, { accepts, env }] of Object.entries(streamProcessors)) {
    const path = `stream_processors.${name}`;
    if (accepts.length === 0) problems.push(`${path}.accepts: want one media type at least, got none`);
    for (const mediaType of accepts) {
      const other = takers.get(mediaType);
      if (other !== undefined) problems.push(`${path}.accepts: "${mediaType}" is taken by ${other} already`);
      takers.set(mediaType, path);
    }
    if (env.some((entry) => !/^[A-Za-z_][A-Za-z0-9_]*=/.test(entry))) {
      problems.push(`${path}.env: want texts of the form NAME=value`);
    }
  }
  return problems;
}
