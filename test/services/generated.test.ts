import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { command } from "../../testing/rig/command.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));

async function texts(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".ts")).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), "utf8")] as const)),
  );
}

const protoc = await command("protoc", ["--version"]).catch(() => undefined);

t.test("gen/ is what proto/ says", { skip: protoc === undefined && "protoc is not installed" }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-gen-"));
  t.teardown(async () => await rm(folder, { recursive: true }));
  await command("bash", [join(root, "scripts/generate-proto.sh"), folder]);
  t.same(await texts(join(root, "gen")), await texts(folder));
});
