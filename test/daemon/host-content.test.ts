import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { containerdContent } from "../../src/daemon/containerd-content.js";
import { hostContent } from "../../src/daemon/host-content.js";
import { type LogRecord, logChannel } from "../../src/observe/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { type Containerd, startContainerd } from "../../testing/rig/containerd.js";
import { writeOciArchive } from "../../testing/rig/oci-archive.js";

const IMAGE = "registry.test:5000/library/two:1";
/** As containerd writes it at a pull: without the port. */
const SOURCE_LABEL = "containerd.io/distribution.source.registry.test";

interface Fixture {
  readonly containerd: Containerd;
  /** Chain ids after the first and the second layer. */
  readonly chainIds: readonly [string, string];
  readonly manifestDigest: string;
}

function sha256(bytes: string | Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** A containerd of its own with an image of two layers that was imported, so that no repository is noted. */
async function startWithImage(cleanup: Cleanup): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-host-content-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const tars: string[] = [];
  for (const name of ["one", "two"]) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, name), `content of ${name}`);
    tars.push(join(folder, `${name}.tar`));
    await command("tar", ["-C", join(folder, name), "-cf", join(folder, `${name}.tar`), "."]);
  }
  const [first, second] = [sha256(await readFile(tars[0]!)), sha256(await readFile(tars[1]!))];
  const archive = join(folder, "image.tar");
  await writeOciArchive({ layers: tars, config: {}, name: IMAGE, archive });
  const containerd = await startContainerd({ folder: join(folder, "containerd") });
  cleanup.add(() => containerd.stop());
  await containerd.ctr(["images", "import", "--no-unpack", archive]);
  const { stdout } = await containerd.ctr(["images", "ls", `name==${IMAGE}`]);
  return {
    containerd,
    chainIds: [first, sha256(`${first} ${second}`)],
    manifestDigest: /sha256:[0-9a-f]{64}/.exec(stdout)![0],
  };
}

function content(t: Test, address: string): ReturnType<typeof hostContent> {
  const reader = containerdContent({ address });
  t.teardown(() => reader[Symbol.dispose]());
  return hostContent({ reader, timeoutMs: 5000, hostsFolders: [] });
}

t.test("findLayer() finds the repository of a layer in a real containerd", async (t) => {
  await using cleanup = new Cleanup();
  const { containerd, chainIds, manifestDigest } = await startWithImage(cleanup);
  const host = content(t, containerd.address);
  const query = { namespace: "default", chainId: chainIds[1] };
  t.equal(await host.findLayer(query), undefined, "an imported image has no repository");

  await containerd.ctr(["content", "label", manifestDigest, `${SOURCE_LABEL}=library/two`]);
  const found = await host.findLayer(query);
  t.equal(found?.reference, IMAGE, "the name of the image in that repository");
  t.equal(found?.manifestDigest, manifestDigest);
  t.match(found?.layer, { digest: /^sha256:/, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" });
  t.equal(found?.neighbours.length, 1);
  const below = await host.findLayer({ ...query, chainId: chainIds[0] });
  t.equal(
    below?.layer.digest,
    found?.neighbours[0]?.layer.digest,
    "the first layer has a chain id of its own",
  );

  t.equal(await host.findLayer({ ...query, chainId: sha256("other") }), undefined);
  t.equal(await host.findLayer({ ...query, namespace: "k8s.io" }), undefined, "namespaces are kept apart");

  await containerd.ctr(["images", "rm", "--sync", IMAGE]);
  const fresh = content(t, containerd.address);
  t.equal(await fresh.findLayer(query), undefined, "an image that is gone is not found by a new process");
});

t.test("findLayer() names the manifest where no image has the repository's name", async (t) => {
  await using cleanup = new Cleanup();
  const { containerd, chainIds, manifestDigest } = await startWithImage(cleanup);
  await containerd.ctr(["content", "label", manifestDigest, `${SOURCE_LABEL}=mirror/two,library/other`]);
  const found = await content(t, containerd.address).findLayer({
    namespace: "default",
    chainId: chainIds[0],
  });
  t.equal(found?.reference, `registry.test/mirror/two@${manifestDigest}`);
});

t.test("findLayer() says why there is no answer where containerd is absent or gone", async (t) => {
  await using cleanup = new Cleanup();
  const { containerd, chainIds } = await startWithImage(cleanup);
  const records: LogRecord[] = [];
  using _log = logChannel.subscribe((record) => records.push(record));
  const query = { namespace: "default", chainId: chainIds[0] };
  t.equal(await content(t, "/nowhere/containerd.sock").findLayer(query), undefined);
  t.match(records.at(-1), { level: "warn", reason: "host-content-unavailable", code: "UNAVAILABLE" });
  const host = content(t, containerd.address);
  t.equal(await host.findLayer(query), undefined);
  records.length = 0;
  await containerd.stop();
  t.equal(await host.findLayer(query), undefined);
  t.match(records.at(-1), { level: "warn", reason: "host-content-unavailable" });
});
