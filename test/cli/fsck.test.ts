import { rm } from "node:fs/promises";
import t from "tap";
import { runCli } from "../../src/cli/run-cli.js";
import { fsckRoot } from "../content/fsck-root.js";

async function run(words: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ["", ""];
  const code = await runCli({
    arguments: words,
    environment: {},
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

t.test("lazuli fsck says what is wrong, repairs it, and ends with 1 while something is left", async (t) => {
  const rig = await fsckRoot(t);
  const words = ["fsck", "--root", rig.root];
  t.match(await run(words), { code: 0, stdout: /4 blobs .*\nNo findings are left\.\n$/ });
  await rm(rig.blobPath(rig.digests.layer));
  const found = await run(words);
  t.match(found, {
    code: 1,
    stdout: /\nLeft\n.*\nblob-missing +damage +sha256:.*\n\nblob-missing: --repair/s,
  });
  const asJson = await run([...words, "--json"]);
  t.equal(asJson.code, 1);
  t.match(JSON.parse(asJson.stdout), { ok: false, blobs: 3, findings: [{ kind: "blob-missing" }] });
  t.match(await run([...words, "--repair"]), { code: 0, stdout: /\nRepaired\n/ });
  t.match(await run(words), { code: 0, stdout: /No findings are left/ });
});

t.test("lazuli fsck ends with the code of what stops it", async (t) => {
  const rig = await fsckRoot(t);
  await rm(`${rig.root}/metadata`, { recursive: true });
  const lost = await run(["fsck", "--root", rig.root]);
  t.match(lost, { code: 15, stdout: "", stderr: /hint: `lazuli fsck --rebuild-content`/ });
  const rebuilt = await run(["fsck", "--root", rig.root, "--rebuild-content", "--repair"]);
  t.match(rebuilt, { code: 0, stdout: /4 rows rebuilt in namespace default, held by the lease/ });
  t.match(await run(["fsck", "--root", `${rig.root}/none`]), { code: 5, stderr: /does not exist/ });
});
