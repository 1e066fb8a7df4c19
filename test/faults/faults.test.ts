import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { faultEnvironment } from "../../testing/faults/index.js";
import { openParts } from "./open-parts.js";

const program = fileURLToPath(new URL("./operate.js", import.meta.url));
/** More than the operations have calls: the sweep ends at the first that none fires in. */
const SWEEPS_MAX = 2000;
const HANG_MS = 120_000;

t.setTimeout(4 * HANG_MS);

interface Line {
  readonly problem?: string;
  readonly code?: string;
  readonly step?: string;
  readonly message?: string;
  readonly fired?: number;
  readonly wanted?: readonly (readonly [string, string])[];
}

interface Sweep {
  readonly name: string;
  readonly kinds: string;
  readonly errno: number;
  readonly code: string;
  readonly except?: string;
}

const { ENOSPC, EIO, EMFILE } = constants.errno;

const sweeps: readonly Sweep[] = [
  {
    name: "a full disk at every write",
    kinds: "write,mkdir,link,rename",
    errno: ENOSPC,
    code: "RESOURCE_EXHAUSTED",
    // lmdb 3.5.6 corrupts its heap after a failed write of a page: the reserve of Metadata keeps it from a full disk.
    except: "metadata.lmdb",
  },
  { name: "a broken disk at every sync", kinds: "sync", errno: EIO, code: "UNAVAILABLE" },
  { name: "no more files at every open", kinds: "open", errno: EMFILE, code: "RESOURCE_EXHAUSTED" },
];

async function linesOf(
  t: Test,
  sweep: Sweep,
): Promise<{ lines: Line[]; code: number | null; folder: string }> {
  const base = await mkdtemp(join(tmpdir(), "lazuli-faults-"));
  t.teardown(async () => await rm(base, { recursive: true, force: true }));
  const [folder, control] = [join(base, "root"), join(base, "control")];
  await mkdir(folder);
  const env = { ...process.env, ...(await faultEnvironment({ folder, control, except: sweep.except })) };
  const words = [program, folder, control, sweep.kinds, String(sweep.errno), String(SWEEPS_MAX)];
  const child = spawn(process.execPath, words, { env, stdio: ["ignore", "pipe", "inherit"] });
  const timer = setTimeout(() => child.kill("SIGKILL"), HANG_MS);
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const lines: Line[] = [];
  for await (const line of createInterface({ input: child.stdout })) lines.push(JSON.parse(line) as Line);
  const code = await ended;
  clearTimeout(timer);
  return { lines, code, folder };
}

for (const sweep of sweeps) {
  t.test(`the store lives through ${sweep.name}`, async (t) => {
    const { lines, code, folder } = await linesOf(t, sweep);
    t.equal(code, 0, "the process neither dies nor hangs");
    t.strictSame(
      lines.filter(({ problem }) => problem !== undefined),
      [],
      "what was acknowledged is there, and each operation works again",
    );
    t.strictSame(
      lines.filter((line) => line.code !== undefined && line.code !== sweep.code),
      [],
      `each failure is ${sweep.code}`,
    );
    const last = lines.at(-1);
    t.ok((last?.fired ?? 0) > 0, `${last?.fired} calls failed`);
    const parts = await openParts(folder);
    t.strictSame([...(await parts.found())].sort(), [...(last?.wanted ?? [])].sort(), "also after reopening");
    await parts.close();
  });
}
