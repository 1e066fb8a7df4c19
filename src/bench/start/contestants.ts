import { access } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { EngineKind, Programs } from "../engines/index.js";
import type { ImageFormat } from "../images/index.js";

/** One way to start a container of an image. */
export interface Contestant {
  readonly name: string;
  readonly kind: EngineKind;
  readonly format: ImageFormat;
  /** lazuli has a profile of an earlier start. */
  readonly hasProfile: boolean;
  /** The image is there as a whole before the start. */
  readonly isLocal: boolean;
}

const simple = { hasProfile: false, isLocal: false };

/** All that could be measured; the first is what others are compared with. */
export const contestants: readonly Contestant[] = [
  { name: "containerd", kind: "containerd", format: "plain", ...simple },
  { name: "newer-containerd", kind: "newer containerd", format: "plain", ...simple },
  { name: "containerd-local", kind: "containerd", format: "plain", ...simple, isLocal: true },
  { name: "soci-snapshotter", kind: "soci-snapshotter", format: "plain", ...simple },
  { name: "stargz-snapshotter", kind: "stargz-snapshotter", format: "estargz", ...simple },
  ...lazuli("lazuli", "lazuli plugin"),
  ...lazuli("daemon", "lazuli daemon"),
];

function lazuli(name: string, kind: EngineKind): readonly Contestant[] {
  const formats = ["estargz", "soci", "zstdchunked", "plain"] as const;
  return [
    ...formats.flatMap((format) => [
      { name: `${name}-${format}`, kind, format, ...simple },
      { name: `${name}-${format}-profile`, kind, format, ...simple, hasProfile: true },
    ]),
    { name: `${name}-local`, kind, format: "plain" as const, ...simple, isLocal: true },
  ];
}

/** Of contestants that the machine lacks a program for: which. */
export async function missingProgram(
  contestant: Contestant,
  programs: Programs,
): Promise<string | undefined> {
  for (const wanted of wantedPrograms(contestant.kind, programs)) {
    if (wanted.path === undefined || !(await isFound(wanted.path))) return wanted.name;
  }
  return undefined;
}

function wantedPrograms(
  kind: EngineKind,
  { newerContainerd, soci, stargz }: Programs,
): readonly { readonly name: string; readonly path: string | undefined }[] {
  const plain = (name: string) => ({ name, path: name });
  const below = (folder: string | undefined, name: string) => ({
    name,
    path: folder === undefined ? undefined : join(folder, name),
  });
  switch (kind) {
    case "containerd":
      return [plain("containerd"), plain("ctr")];
    case "newer containerd":
      return [below(newerContainerd, "containerd"), below(newerContainerd, "ctr")];
    case "lazuli daemon":
      return [plain("runc"), plain("containerd-shim-runc-v2")];
    case "lazuli plugin":
      return [plain("containerd"), plain("ctr-remote")];
    case "soci-snapshotter":
      return [plain("containerd"), below(soci, "soci-snapshotter-grpc"), below(soci, "soci")];
    case "stargz-snapshotter":
      return [plain("containerd"), plain("ctr-remote"), { name: "containerd-stargz-grpc", path: stargz }];
  }
}

/** A path, or a name that the PATH leads to. */
async function isFound(program: string): Promise<boolean> {
  const places = program.includes("/")
    ? [program]
    : (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, program));
  const found = await Promise.all(
    places.map((path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.some(Boolean);
}
