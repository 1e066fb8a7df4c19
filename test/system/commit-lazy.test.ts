import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { type Client, connect } from "../../src/client/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { oddRegistry, projectRoot } from "../../testing/rig/lab.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";

const NAMESPACE = `commit-${process.pid}`;
const manifestType = "application/vnd.oci.image.manifest.v1+json";
const layerType = "application/vnd.oci.image.layer.v1.tar+gzip";
const change = "printf committed > /data/new; rm /data/exact; exec sleep 1000";

interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: bigint;
}

t.setTimeout(300_000);

/** Writes a document as a client that commits does: with the labels that keep what it names. */
async function write(client: Client, document: unknown, mediaType: string, labels = {}): Promise<Blob> {
  const data = Buffer.from(JSON.stringify(document));
  const digest = `sha256:${createHash("sha256").update(data).digest("hex")}`;
  await client.call({ action: "write a document", subject: digest }, async ({ content }, options) => {
    const requests = async function* () {
      const facts = { ref: digest, total: BigInt(data.length), expected: digest, offset: 0n, labels };
      yield { action: 2, data, ...facts };
    };
    for await (const answer of content.write(requests(), options)) if (answer.digest !== "") break;
  });
  return { mediaType, digest, size: BigInt(data.length) };
}

/** What `nerdctl commit` does: a layer of the container's changes, over the layers of its image. */
async function commit(client: Client, parts: { image: string; name: string; key: string }): Promise<void> {
  const facts = { action: "commit a container", subject: parts.name };
  const { container } = await client.call(facts, async ({ containers }, options) =>
    containers.get({ id: parts.key }, options),
  );
  const { snapshotter } = container!;
  const { image, snapshot } = await client.call(facts, async (services, options) => ({
    image: (await services.images.get({ name: parts.image }, options)).image!,
    snapshot: (await services.snapshots.stat({ snapshotter, key: parts.key }, options)).info!,
  }));
  const below = await client.call(facts, async ({ snapshots }, options) =>
    snapshots.view({ snapshotter, key: `${parts.key}-below`, parent: snapshot.parent }, options),
  );
  const upper = await client.call(facts, async ({ snapshots }, options) =>
    snapshots.mounts({ snapshotter, key: parts.key }, options),
  );
  const { diff } = await client.call(facts, async (services, options) =>
    services.diff.diff(
      { left: below.mounts, right: upper.mounts, mediaType: layerType, ref: "commit" },
      options,
    ),
  );
  const { stdout } = await ctr(client.address, "content", "get", image.target!.digest);
  const manifest = JSON.parse(stdout);
  const config = JSON.parse((await ctr(client.address, "content", "get", manifest.config.digest)).stdout);
  const { info } = await client.call(facts, async ({ content }, options) =>
    content.info({ digest: diff!.digest }, options),
  );
  config.rootfs.diff_ids.push(info!.labels["containerd.io/uncompressed"]);
  const configBlob = await write(client, config, manifest.config.mediaType);
  const layers = [
    ...manifest.layers,
    { mediaType: layerType, digest: diff!.digest, size: Number(diff!.size) },
  ];
  const labels = Object.fromEntries(
    [configBlob, ...layers].map(({ digest }, index) => [`containerd.io/gc.ref.content.${index}`, digest]),
  );
  const document = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { ...configBlob, size: Number(configBlob.size) },
    layers,
  };
  const target = await write(client, document, manifestType, labels);
  await client.call(facts, async ({ images }, options) =>
    images.create({ image: { name: parts.name, target } }, options),
  );
}

async function ctr(address: string, ...words: readonly string[]): Promise<{ stdout: string }> {
  return await command("ctr", ["--address", address, "--namespace", NAMESPACE, ...words]);
}

t.test("a container over lazy layers is committed to an image that runs and can be saved", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-commit-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const registry = await oddRegistry(cleanup);
  const daemon = await startDaemon({ folder, config: "[layer]\nbackground_fill = false" });
  cleanup.add(() => daemon.stop());
  const bin = join(projectRoot, "bin", "lazuli");
  const lazuli = async (...words: readonly string[]): Promise<string> =>
    (
      await command(bin, [
        words[0]!,
        "--address",
        daemon.address,
        "--namespace",
        NAMESPACE,
        ...words.slice(1),
      ])
    ).stdout;
  const image = `${registry.host}/odd:esgz`;
  await lazuli("pull", "--lazy", "always", image);
  await lazuli("run", "-d", "--name", "changed", image, "/bin/sh", "-c", change);
  cleanup.add(async () => {
    await lazuli("rm", "-f", "changed");
  });
  using client = connect({ address: daemon.address, namespace: NAMESPACE });
  const cached = async (): Promise<{ cachedBytes: number; dataBytes: number }[]> =>
    JSON.parse((await command(bin, ["status", "--address", daemon.address, "--json"])).stdout).layers;
  const name = "commit.test/changed:1";
  await commit(client, { image, name, key: "changed" });
  t.ok(
    (await cached()).some((layer) => layer.cachedBytes < layer.dataBytes),
    "its layers are still lazy",
  );
  const line = "cat /data/new; ls /data/exact 2>&1; sha256sum /data/large";
  const output = await lazuli("run", "--rm", name, "/bin/sh", "-c", line);
  t.match(output, /^committedls: \/data\/exact: No such file/);
  t.match(output, oddImageDigests().large);
  const archive = join(folder, "saved.tar");
  await lazuli("save", "-o", archive, name);
  const theirs = await startContainerd({ folder: join(folder, "theirs") });
  cleanup.add(() => theirs.stop());
  await theirs.ctr(["images", "import", archive]);
  const there = await theirs.ctr(["run", "--rm", name, "changed", "/bin/sh", "-c", line]);
  t.equal(there.stdout, output, "containerd runs what was saved");
});
