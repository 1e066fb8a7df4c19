import { fileURLToPath } from "node:url";

/**
 * Where lazuli's own files lie, in a working tree as in an installed package. This module lies as deep as the bundle does
 * (scripts/bundle.js), so that the path is right in both.
 */
export const projectFolder: string = fileURLToPath(new URL("../../../", import.meta.url));
