#!/usr/bin/env node
// Puts the compiled program into a few files: `lazuli` loads them in a quarter of the time that its hundreds of modules
// take, which every command and every restart of the daemon waits for. They lie as deep as the modules do, so that paths
// relative to a module stay right.
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = new URL("..", import.meta.url);
// Chunks have their content's hash in their names: those of before would pile up.
await rm(new URL("dist/bundle", root), { recursive: true, force: true });
await build({
  absWorkingDir: fileURLToPath(root),
  entryPoints: [
    "dist/src/cli/main.js",
    "dist/src/bench/link/link-worker.js",
    "dist/src/layer/compile-worker.js",
    "dist/src/layer/file-map-worker.js",
    "dist/src/transfer/pack-worker.js",
  ],
  entryNames: "[name]",
  outdir: "dist/bundle/all",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20.18",
  sourcemap: "linked",
  // Its native half is found next to its own files.
  external: ["lmdb"],
  // For packages that are CommonJS and ask for modules of Node.
  banner: {
    js: 'import { createRequire as requireOf } from "node:module"; globalThis.require ??= requireOf(import.meta.url);',
  },
  logLevel: "warning",
});
