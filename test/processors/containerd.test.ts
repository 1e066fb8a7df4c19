import { copyFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { oddRegistry, projectRoot, startLab } from "../../testing/rig/lab.js";
import { listingDifference } from "../../testing/rig/tree-listing.js";
import { makeKeys } from "../ocicrypt/encrypted-image.js";

t.setTimeout(240_000);

/** Tags of the encrypted copies and their recipients. */
const variants = { jwe: ["jwe:rsa.pub"], pkcs7: ["pkcs7:rsa.crt"], ec: ["jwe:ec.pub"] };

t.test("an encrypted image runs behind containerd 2 by lazuli's keys, and by none falls back", async (t) => {
  const newer = join(projectRoot, "build", "newer");
  await command("bash", [join(projectRoot, "scripts", "fetch-newer-containerd.sh"), newer]);
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-encrypted-image-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  await makeKeys(folder);
  const plain = await oddRegistry(cleanup);
  const registry = await startDockerRegistry({ folder: join(folder, "registry") });
  cleanup.add(() => registry.stop());
  const tls = ["--src-tls-verify=false", "--dest-tls-verify=false"];
  for (const [tag, recipients] of Object.entries(variants)) {
    const flags = recipients.flatMap((recipient) => ["--encryption-key", recipient]);
    const places = [`docker://${plain.host}/odd:org`, `docker://${registry.host}/secret:${tag}`];
    await command("skopeo", ["--insecure-policy", "copy", "--quiet", ...tls, ...flags, ...places], {
      cwd: folder,
    });
  }

  const keys = join(folder, "keys");
  await mkdir(keys);
  await using lab = await startLab({
    binFolder: join(newer, "bin"),
    config: `[decryption]\nkeys = ["${keys}"]\n`,
  });
  const { containerd, snapshotter } = lab;
  const pull = async (image: string, name: string, allow: readonly number[] = []): Promise<number> =>
    (await containerd.ctr(["images", "pull", "--plain-http", "--snapshotter", name, image], { allow })).code;
  await pull(`${plain.host}/odd:org`, "overlayfs");
  const expected = await lab.listImage(`${plain.host}/odd:org`, "overlayfs");
  t.ok(expected.length > 600);

  t.equal(await pull(`${registry.host}/secret:jwe`, "lazuli", [1]), 1, "containerd has no decoder");
  t.match(await readFile(snapshotter.logFile, "utf8"), '"reason":"decryption-key-missing"');
  await copyFile(join(folder, "other.pem"), join(keys, "other.pem"));
  t.equal(await pull(`${registry.host}/secret:jwe`, "lazuli", [1]), 1, "nor is another's key of use");

  await copyFile(join(folder, "rsa-pkcs1.pem"), join(keys, "rsa.pem"));
  await copyFile(join(folder, "ec-sec1.pem"), join(keys, "ec.pem"));
  for (const tag of Object.keys(variants)) {
    const image = `${registry.host}/secret:${tag}`;
    await pull(image, "lazuli");
    t.same(listingDifference(expected, await lab.listImage(image, "lazuli")), [], `${tag}: the same tree`);
    await containerd.ctr(["images", "rm", "--sync", image]);
  }
  await pull(`${registry.host}/secret:jwe`, "lazuli");
  const run = [
    "run",
    "--rm",
    "--snapshotter",
    "lazuli",
    `${registry.host}/secret:jwe`,
    "run",
    "/bin/cat",
    "/last",
  ];
  t.equal((await containerd.ctr(run)).stdout, "last\n");
  const status = JSON.parse((await snapshotter.lazuli(["status", "--json"])).stdout);
  t.ok(status.layers.length >= 3 && status.layers.every((layer: { complete: boolean }) => layer.complete));
});
