import { stat } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { LazuliError } from "../../src/errors/index.js";
import { EngineRig } from "../../testing/layer/engine-rig.js";
import { MemorySource } from "../../testing/layer/memory-source.js";
import { command } from "../../testing/rig/command.js";
import { zstd } from "../../testing/zstdchunked-builder.js";
import { pullTo, typesOf, wholeRequest, withFolder } from "./streams-pull-rig.js";

const DATA_BYTES = 64 << 20;
/** Whole blocks, and the file system's own. */
const SLACK_BYTES = 1 << 20;

t.setTimeout(0);

const bytes = Buffer.alloc(DATA_BYTES, "bomb");
const bombs = [
  ["gzip", gzipSync(bytes, { level: 9 })],
  ["zstd", await zstd(bytes)],
] as const;

for (const [codec, blob] of bombs) {
  t.test(
    `a bomb of ${codec} takes the disk that it decodes to, and a refused one leaves nothing`,
    async (t) => {
      await withFolder(async (folder) => {
        const path = join(folder, "data");
        await pullTo(path, new MemorySource(blob), { mediaType: typesOf[codec] });
        const taken = (await stat(path)).blocks * 512;
        t.ok(taken <= DATA_BYTES + SLACK_BYTES, `${taken} bytes of ${blob.length}`);
      });
      await using rig = await EngineRig.make();
      const engine = await rig.open();
      const request = wholeRequest(new MemorySource(blob), { mediaType: typesOf[codec] });
      await t.rejects(engine.ensure(request, {}), LazuliError, "what it decodes to is no archive");
      const { stdout } = await command("du", ["-s", "--block-size=1", rig.root]);
      const left = Number(stdout.split("\t")[0]);
      t.ok(left <= SLACK_BYTES, `${left} bytes are left`);
    },
  );
}
