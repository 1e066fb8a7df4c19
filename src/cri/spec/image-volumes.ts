import { randomBytes } from "node:crypto";
import { join } from "node:path/posix";
import {
  type ContainerConfig,
  type ImageSpec,
  type Mount,
  MountPropagation,
} from "../../../gen/runtime/v1/api_pb.js";
import { invalidArgument, LazuliError } from "../../errors/index.js";
import type { BindRequest } from "./bind-mount.js";
import { cleanPath } from "./clean-path.js";
import type { SpecHost } from "./contract.js";

/** VOLUME lines of one image. Each makes a mount; with more the image is refused. */
const VOLUMES_MAX = 1000;

/**
 * The image's VOLUMEs that nothing of the config is mounted on, each in a new folder below `folder`. Relative ones count
 * from the root, and `..` does not lead above it.
 * @throws INVALID_ARGUMENT `volume-invalid`
 */
export function declaredVolumes(
  volumes: readonly string[],
  { config, folder }: { readonly config: ContainerConfig; readonly folder: string },
): readonly BindRequest[] {
  if (volumes.length > VOLUMES_MAX)
    throw volumeInvalid(`${volumes.length} volumes`, `want ${VOLUMES_MAX} at most`);
  const taken = new Set(config.mounts.map(({ containerPath }) => cleanPath(containerPath)));
  const user = config.linux?.securityContext?.namespaceOptions?.usernsOptions;
  const paths = new Set(volumes.map(volumePath));
  return [...paths]
    .filter((path) => !taken.has(path))
    .map((path) => ({
      containerPath: path,
      hostPath: join(folder, randomBytes(32).toString("hex")),
      readonly: false,
      selinuxRelabel: true,
      propagation: MountPropagation.PROPAGATION_PRIVATE,
      recursiveReadOnly: false,
      uidMappings: user?.uids ?? [],
      gidMappings: user?.gids ?? [],
    }));
}

function volumePath(volume: string): string {
  if (volume === "" || volume.includes("\0")) throw volumeInvalid(volume, "want a path");
  const path = cleanPath(`/${volume}`);
  // A folder there would hide the whole container, or what masks the kernel's files.
  if (path === "/" || path === "/proc" || path.startsWith("/proc/")) {
    throw volumeInvalid(volume, "want a folder that is neither the root nor in /proc");
  }
  return path;
}

function volumeInvalid(volume: string, wanted: string): Error {
  return invalidArgument(`Cannot use the image's volume ${JSON.stringify(volume.slice(0, 256))}: ${wanted}`, {
    subject: volume.slice(0, 256),
    reason: "volume-invalid",
  });
}

export interface ImageMountRequest {
  readonly mountImage: (image: ImageSpec) => Promise<string>;
  readonly host: Pick<SpecHost, "realPath" | "isFolder">;
}

/**
 * A mount of CRI as a bind mount; of one that asks for an image, the image is mounted first, and is read-only. The owners
 * of its files are mapped by its snapshot.
 * @throws what mountImage() throws, and INVALID_ARGUMENT `image-volume-invalid`, both as `ImageVolumeMountFailed: …`
 */
export async function withImage(mount: Mount, { mountImage, host }: ImageMountRequest): Promise<BindRequest> {
  const { image } = mount;
  if (image === undefined) return mount;
  const { containerPath } = mount;
  if (mount.hostPath !== "") throw imageInvalid(containerPath, "hostpath must be empty while mount image");
  if (!mount.readonly) throw imageInvalid(containerPath, "readonly must be true while mount image");
  if (image.image === "") throw imageInvalid(containerPath, "image not specified");
  let folder: string;
  try {
    folder = await mountImage(image);
  } catch (error) {
    if (!(error instanceof LazuliError)) throw error;
    // The kubelet looks for the word in front.
    throw new LazuliError(error.code, `ImageVolumeMountFailed: ${error.message}`, {
      subject: image.image,
      reason: error.reason ?? "image-volume-failed",
      cause: error,
    });
  }
  const hostPath = await subFolder(folder, { path: mount.imageSubPath, containerPath, host });
  return {
    containerPath,
    hostPath,
    readonly: true,
    selinuxRelabel: mount.selinuxRelabel,
    propagation: mount.propagation,
    recursiveReadOnly: mount.recursiveReadOnly,
    uidMappings: [],
    gidMappings: [],
  };
}

interface SubFolder {
  readonly path: string;
  readonly containerPath: string;
  readonly host: ImageMountRequest["host"];
}

/** Links are followed, but not out of the image. */
async function subFolder(folder: string, { path, containerPath, host }: SubFolder): Promise<string> {
  if (path === "") return folder;
  const quoted = JSON.stringify(path);
  if (path.startsWith("/") || path.includes("\0") || path.split("/").includes("..")) {
    throw imageInvalid(containerPath, `failed to ensure image subpath ${quoted}: path escapes from parent`);
  }
  const root = await host.realPath(folder);
  let real: string;
  try {
    real = await host.realPath(join(root, path));
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw imageInvalid(containerPath, `failed to ensure image subpath ${quoted}: ${message}`);
  }
  if (real !== root && !real.startsWith(`${root}/`)) {
    throw imageInvalid(containerPath, `failed to ensure image subpath ${quoted}: path escapes from parent`);
  }
  if (await host.isFolder(real)) return real;
  throw imageInvalid(
    containerPath,
    `failed to ensure image subpath ${quoted}: only directory subpath is supported`,
  );
}

function imageInvalid(containerPath: string, problem: string): Error {
  return invalidArgument(
    `ImageVolumeMountFailed: ${problem} (containerPath=${JSON.stringify(containerPath)})`,
    {
      subject: containerPath,
      reason: "image-volume-invalid",
    },
  );
}
