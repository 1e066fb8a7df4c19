import { readTarHeaders } from "../../../src/tar/index.js";
import { refusing } from "../target.js";

const ARCHIVE_BYTES = 1 << 30;

/** The headers that came by in a stream, as the native core keeps them. */
export const fuzz = refusing((headers) => [...readTarHeaders({ size: ARCHIVE_BYTES, headers })]);
