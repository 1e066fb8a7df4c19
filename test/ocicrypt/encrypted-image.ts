import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { command } from "../../testing/rig/command.js";

/** Private keys by openssl in all forms that ocicrypt has, with what it takes to encrypt for them. */
export async function makeKeys(folder: string): Promise<void> {
  const script = String.raw`
    openssl genrsa -out rsa-pkcs8.pem 2048
    openssl rsa -in rsa-pkcs8.pem -traditional -out rsa-pkcs1.pem
    openssl rsa -in rsa-pkcs8.pem -outform DER -out rsa.der
    openssl rsa -in rsa-pkcs8.pem -pubout -out rsa.pub
    openssl rsa -in rsa-pkcs8.pem -traditional -aes128 -passout pass:secret-word -out rsa-locked-pkcs1.pem
    openssl pkcs8 -topk8 -in rsa-pkcs8.pem -passout pass:secret-word -out rsa-locked.pem
    printf 'secret-word\n' > password
    openssl req -x509 -new -key rsa-pkcs8.pem -subj /CN=lazuli.test -days 2 -out rsa.crt
    openssl ecparam -name prime256v1 -genkey -noout -out ec-sec1.pem
    openssl pkcs8 -topk8 -nocrypt -in ec-sec1.pem -out ec-pkcs8.pem
    openssl ec -in ec-sec1.pem -pubout -out ec.pub
    openssl genrsa -out other.pem 2048
    openssl genpkey -algorithm ed25519 -out ed25519.pem
  `;
  await command("bash", ["-ec", script], { cwd: folder });
}

export interface EncryptedBlob {
  readonly mediaType: string;
  readonly bytes: Buffer;
  readonly annotations: Readonly<Record<string, string>>;
}

/** An OCI layout with one image of one layer. */
export async function writeLayout(
  layout: string,
  layer: { bytes: Buffer; mediaType: string },
): Promise<void> {
  const blobs = join(layout, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  const add = async (bytes: Buffer, mediaType: string): Promise<object> => {
    const digest = createHash("sha256").update(bytes).digest("hex");
    await writeFile(join(blobs, digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const config = { architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: [] } };
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: await add(Buffer.from(JSON.stringify(config)), "application/vnd.oci.image.config.v1+json"),
    layers: [await add(layer.bytes, layer.mediaType)],
  };
  const descriptor = await add(Buffer.from(JSON.stringify(manifest)), mediaType);
  const manifests = [{ ...descriptor, annotations: { "org.opencontainers.image.ref.name": "latest" } }];
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  await writeFile(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

/** What Debian's skopeo makes of a layout's layer for these recipients (`jwe:<public key>`, `pkcs7:<certificate>`). */
export async function encrypt(options: {
  readonly layout: string;
  readonly recipients: readonly string[];
  readonly keys: string;
}): Promise<EncryptedBlob> {
  const { layout, recipients, keys } = options;
  const target = `${layout}-${recipients.join("-").replaceAll(/[^a-z0-9-]/g, "")}`;
  const flags = recipients.flatMap((recipient) => ["--encryption-key", recipient]);
  const places = [`oci:${layout}:latest`, `oci:${target}:latest`];
  await command("skopeo", ["--insecure-policy", "copy", "--quiet", ...flags, ...places], { cwd: keys });
  const read = async (digest: string): Promise<Buffer> =>
    await readFile(join(target, "blobs", digest.replace(":", "/")));
  const index = JSON.parse(await readFile(join(target, "index.json"), "utf8"));
  const [layer] = JSON.parse((await read(index.manifests[0].digest)).toString()).layers;
  return { mediaType: layer.mediaType, bytes: await read(layer.digest), annotations: layer.annotations };
}
