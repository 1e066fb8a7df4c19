import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { projectRoot } from "../../testing/rig/lab.js";

t.test("docs/security.md names tests that exist, one or more for each entry point", async (t) => {
  const page = await readFile(join(projectRoot, "docs/security.md"), "utf8");
  const named = [...new Set(page.match(/test\/[a-z0-9/-]+\.test\.ts/g))];
  t.ok(named.length > 20, `${named.length} tests`);
  for (const file of named) await t.resolves(access(join(projectRoot, file)), file);
  const table = page.split("## Entry points")[1]?.split("\n## ")[0] ?? "";
  const rows = table
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .slice(2);
  t.ok(rows.length > 10, `${rows.length} entry points`);
  for (const row of rows) t.match(row, /test\/[a-z0-9/-]+\.test\.ts` \|$|`test\//, row.slice(0, 60));
});
