import { readFile } from "node:fs/promises";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import t from "tap";
import { errorCodes } from "../../src/errors/index.js";

t.test("docs/errors.md lists every code with its numbers, and no other", async (t) => {
  const page = await readFile(fileURLToPath(new URL("../../../docs/errors.md", import.meta.url)), "utf8");
  const rows = [...page.matchAll(/^\| `([A-Z_]+)` \| (\d+) \| (\d+) \| (E[A-Z]+) \|/gm)];
  const errnos: Readonly<Record<string, number>> = constants.errno;
  const listed = Object.fromEntries(
    rows.map(([, code, grpc, exit, errno]) => [
      code,
      { grpc: Number(grpc), errno: errnos[errno!], exit: Number(exit) },
    ]),
  );
  t.strictSame(listed, errorCodes);
});
