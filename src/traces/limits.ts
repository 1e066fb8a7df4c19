/** First touches in one trace; a recording that has them is full and ends. A python image's start has about 300. */
export const TOUCHES_MAX = 32_768;
/** Requests in one trace; those beyond are left out. */
export const REQUESTS_MAX = 8192;
/** Layers of one trace. overlayfs takes 500 lower folders. */
export const TRACED_LAYERS_MAX = 512;
/** Traces that a node keeps; the oldest goes. */
export const TRACES_MAX = 64;
/** Traces of one image, so that one that starts all day leaves room for others; its oldest goes. */
export const TRACES_OF_IMAGE_MAX = 16;
/** Bytes of one trace's file; a larger one is no trace of ours. The limits above make 6 MiB at most. */
export const TRACE_BYTES_MAX = 8 << 20;
/** Bytes of all files; the oldest traces go. */
export const TRACES_BYTES_MAX = 64 << 20;
/** Arguments and characters that are kept of a command. */
export const COMMAND_ARGUMENTS_MAX = 256;
export const COMMAND_CHARACTERS_MAX = 16_384;
/** Characters of a reference or key. containerd's longest key has 4096. */
export const TEXT_CHARACTERS_MAX = 4096;
/** Longest time that a trace may tell of: an hour. */
export const TRACE_MS_MAX = 3_600_000;
