import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { dockerArchiveSource } from "../../../src/transfer/docker-archive.js";
import { archiveSource } from "../../../src/transfer/index.js";
import { refusingLater } from "../target.js";

const path = join(mkdtempSync(join(tmpdir(), "lazuli-fuzz-")), "image.tar");
process.on("exit", () => rmSync(dirname(path), { recursive: true, force: true }));

/** `docker save` and an OCI layout, both from one file. */
export const fuzz = refusingLater(async (bytes) => {
  writeFileSync(path, bytes);
  const isDocker = bytes.includes("manifest.json");
  await using source = await (isDocker ? dockerArchiveSource : archiveSource)(path, undefined);
  await source.root({});
});
