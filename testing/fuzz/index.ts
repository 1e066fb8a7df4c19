/**
 * Jazzer.js, which is libFuzzer for JavaScript, on one target after another, and the corpora that are kept of it.
 *
 *     const { executions, finding } = await fuzzTarget("tar", { isLate: true, bytesMax: 4096, seconds: 60 });
 */
export { type Corpus, readCorpus, writeCorpus } from "./corpus.js";
export { type FuzzOptions, type FuzzResult, fuzzTarget, keptInputs } from "./jazzer.js";
export { buildNativeTargets, fuzzNative, mergeNative, type NativeDriver } from "./native.js";
