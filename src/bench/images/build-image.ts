import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { command, unmountBelow } from "../tools/index.js";
import { type BuiltImage, SUITE, type Workload } from "../workloads/index.js";
import { writeLayout } from "./write-layout.js";

export interface BuildImageOptions {
  readonly workload: Workload & { readonly origin: BuiltImage };
  /** Of the layout; what lies beside it with the endings `.root` and `.tars` is gone afterwards. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** Between what is essential and what is installed on it: file times of some file systems have only so many digits. */
const STAMP_PAUSE_SECONDS = 0.1;

/**
 * An image as distributions and their users make them: a base, the packages of a program on it, the program's own files; a
 * layer each. By mmdebstrap, from the mirror that it finds.
 */
export async function buildImage({ workload, folder, signal }: BuildImageOptions): Promise<void> {
  const { packages, files, user } = workload.origin;
  const [root, work] = [`${folder}.root`, `${folder}.tars`];
  const clear = async (): Promise<void> => {
    // An interrupted mmdebstrap leaves them, and so does one whose /proc somebody still looks into.
    await unmountBelow(root);
    for (const path of [root, work]) await rm(path, { recursive: true, force: true });
  };
  await clear();
  await mkdir(work, { recursive: true });
  try {
    const stamp = join(work, "stamp");
    // Packages register their manual pages as alternatives, and fail where the folder is not there.
    const hook = `mkdir -p "$1/usr/share/man/man1"; sleep ${STAMP_PAUSE_SECONDS}; touch "${stamp}"; sleep ${STAMP_PAUSE_SECONDS}`;
    await command(
      "mmdebstrap",
      [
        "--mode=root",
        "--variant=minbase",
        `--include=${packages.join(",")}`,
        '--aptopt=APT::Install-Recommends "false"',
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*/*",
        `--essential-hook=${hook}`,
        SUITE,
        root,
      ],
      { signal },
    );
    const layers = await packRoot({ root, work, stamp, signal });
    if (Object.keys(files).length > 0) layers.push(await packFiles({ files, work, signal }));
    await writeLayout({
      layers,
      folder,
      name: `lazuli.bench/${workload.name}:latest`,
      config: {
        Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        WorkingDir: "/",
        ...(user === undefined ? {} : { User: user }),
      },
    });
  } finally {
    await clear();
  }
}

/** Two tars: what was there at the stamp and did not change since, and the rest. */
async function packRoot(options: {
  readonly root: string;
  readonly work: string;
  readonly stamp: string;
  readonly signal: AbortSignal;
}): Promise<string[]> {
  const { root, work, stamp, signal } = options;
  const tars: string[] = [];
  for (const [name, test] of [
    ["base", `! -cnewer "${stamp}"`],
    ["packages", `-cnewer "${stamp}"`],
  ] as const) {
    const tar = join(work, `${name}.tar`);
    const outside = ["dev", "proc", "sys"].map((path) => `! -path './${path}/*'`).join(" ");
    const list = `find . -xdev ${outside} ${test} ! -type s -print0 | LC_ALL=C sort -z`;
    const pack = `tar --null --no-recursion --numeric-owner --xattrs -T - -cf "${tar}"`;
    await command("bash", ["-euo", "pipefail", "-c", `${list} | ${pack}`], { cwd: root, signal });
    tars.push(tar);
  }
  return tars;
}

async function packFiles(options: {
  readonly files: Readonly<Record<string, string>>;
  readonly work: string;
  readonly signal: AbortSignal;
}): Promise<string> {
  const { files, work, signal } = options;
  const root = join(work, "app");
  const tar = join(work, "app.tar");
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  await command("tar", ["--owner=0", "--group=0", "--sort=name", "-C", root, "-cf", tar, "."], { signal });
  return tar;
}
