import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { type CommandResult, command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd } from "../../testing/rig/containerd.js";

const projectRoot = fileURLToPath(new URL("../../../", import.meta.url));
const binFolder = join(projectRoot, "build", "soci");
/** Where soci keeps its content, which no option of Debian's release moves. */
const FIXED_ROOT = "/var/lib/soci-snapshotter-grpc";

export interface SociTool extends AsyncDisposable {
  readonly containerd: Containerd;
  readonly folder: string;
  /** What soci has made, and what it is to read. */
  readonly blobs: string;
  run(...args: readonly string[]): Promise<CommandResult>;
  /** Puts a blob where soci looks for it. */
  put(bytes: Uint8Array): Promise<Digest>;
}

/** The folder with Debian's programs. */
export async function fetchSoci(): Promise<string> {
  await command("bash", [join(projectRoot, "scripts", "fetch-soci.sh"), binFolder]);
  return join(binFolder, "bin");
}

/** For a script in a mount namespace of its own: soci finds another folder in the place of its own. */
export function privateRoot(folder: string): string {
  return `mkdir -p ${FIXED_ROOT}; mount --bind ${folder} ${FIXED_ROOT}`;
}

/** Debian's soci with a containerd and a content store of its own, in a mount namespace where its folder is another. */
export async function startSociTool(): Promise<SociTool> {
  const bin = await fetchSoci();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-soci-"));
  const root = join(folder, "soci");
  await mkdir(root);
  const containerd = await startContainerd({ folder: join(folder, "containerd") });
  const blobs = join(root, "content", "blobs", "sha256");
  const script = `${privateRoot(root)}; exec "$@"`;
  return {
    containerd,
    folder,
    blobs,
    run: (...args) =>
      command("unshare", [
        ...["-m", "bash", "-euc", script, "soci", join(bin, "soci")],
        ...["--address", containerd.address, ...args],
      ]),
    put: async (bytes) => {
      const digest = sha256(bytes);
      await mkdir(blobs, { recursive: true });
      await writeFile(join(blobs, digest.slice(7)), bytes);
      return digest;
    },
    [Symbol.asyncDispose]: async () => {
      await containerd.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** An image of these blobs in containerd, not unpacked; gzip or not is seen from their first bytes. */
export async function importLayers(tool: SociTool, name: string, layers: readonly Buffer[]): Promise<void> {
  const layout = join(tool.folder, "layout");
  const put = async (mediaType: string, bytes: Buffer): Promise<object> => {
    await mkdir(join(layout, "blobs", "sha256"), { recursive: true });
    await writeFile(join(layout, "blobs", "sha256", sha256(bytes).slice(7)), bytes);
    return { mediaType, digest: sha256(bytes), size: bytes.length };
  };
  const type = "application/vnd.oci.image.";
  const descriptors: object[] = [];
  for (const layer of layers) {
    descriptors.push(await put(`${type}layer.v1.tar${layer[0] === 0x1f ? "+gzip" : ""}`, layer));
  }
  const rootfs = { type: "layers", diff_ids: layers.map((layer) => sha256(layer)) };
  const configBytes = Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", rootfs }));
  const config = await put(`${type}config.v1+json`, configBytes);
  const manifestBytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers: descriptors }));
  const manifest = await put(`${type}manifest.v1+json`, manifestBytes);
  const annotations = { "io.containerd.image.name": name };
  const index = JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] });
  await writeFile(join(layout, "index.json"), index);
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const archive = join(tool.folder, "layers.tar");
  await command("tar", ["-C", layout, "-cf", archive, "."]);
  await tool.containerd.ctr(["images", "import", "--no-unpack", archive]);
}
