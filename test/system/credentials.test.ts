import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import t, { type Test } from "tap";
import { ImageService } from "../../gen/runtime/v1/api_pb.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { type RegistryServer, startRegistry } from "../../testing/registry/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { type Containerd, unmountBelow } from "../../testing/rig/containerd.js";
import { type RunningDaemon, startDaemon } from "../../testing/rig/daemon.js";
import { type ImageCopy, publishCopy, readImage } from "../../testing/rig/image-copy.js";
import { oddRegistry, projectRoot } from "../../testing/rig/lab.js";
import { mountImage } from "../../testing/rig/mounted-image.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";

t.setTimeout(300_000);

const account = { username: "canary-user", password: "canary-password-5e1c" };
const digests = oddImageDigests();

interface Node {
  readonly server: RegistryServer;
  readonly image: string;
  readonly folder: string;
  start(): Promise<RunningDaemon>;
}

async function nodeOf(cleanup: Cleanup, options: { copy: ImageCopy; keep: string }): Promise<Node> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-credentials-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const server = await startRegistry({ auth: { kind: "token", ...account } });
  cleanup.add(() => server.stop());
  publishCopy(server, options.copy, { repository: "odd", tag: "esgz" });
  const config = [
    `[layer]\nbackground_fill = false\nreadahead_max = "4KiB"\ndemand_deadline = "5s"`,
    `[credentials]\nkeep = "${options.keep}"`,
    `[log]\nlevel = "debug"`,
    `[metrics]\naddress = "${join(folder, "metrics.sock")}"`,
  ].join("\n");
  const start = async (): Promise<RunningDaemon> => await startDaemon({ folder, config });
  return { server, image: `${server.host}/odd:esgz`, folder, start };
}

async function pull({ address }: RunningDaemon, image: string): Promise<void> {
  using connection = grpcOverSocket(address);
  await createClient(ImageService, connection.transport).pullImage({ image: { image }, auth: account });
}

async function remove({ address }: RunningDaemon, image: string): Promise<void> {
  using connection = grpcOverSocket(address);
  await createClient(ImageService, connection.transport).removeImage({ image: { image } });
}

/** The digest of one file of the image, read through its lazy layers. */
async function sumOf(
  daemon: RunningDaemon,
  place: { image: string; folder: string; path: string },
): Promise<string> {
  const ctr = async (words: readonly string[]) =>
    await command("ctr", ["--address", daemon.address, "--namespace", "k8s.io", ...words]);
  const containerd = { ctr } as unknown as Containerd;
  const { image, folder } = place;
  await using mounted = await mountImage({ containerd, image, snapshotter: "overlayfs", below: folder });
  const { stdout } = await command("sha256sum", [join(mounted.folder, place.path)], { allow: [1] });
  return stdout.split(" ")[0] ?? "";
}

async function findNoSecrets(t: Test, { folder, image, server }: Node, daemon: RunningDaemon): Promise<void> {
  const lazuli = async (words: readonly string[]): Promise<string> =>
    (await command(join(projectRoot, "bin/lazuli"), [...words, "--address", daemon.address])).stdout;
  const page = await command("curl", [
    "-s",
    "--unix-socket",
    join(folder, "metrics.sock"),
    "http://x/metrics",
  ]);
  const said = [await readFile(daemon.logFile, "utf8"), page.stdout];
  for (const words of [["status"], ["status", "--json"], ["explain", image], ["explain", image, "--json"]]) {
    said.push(await lazuli(words));
  }
  t.ok(
    said.every((text) => text.length > 100),
    "there is something to look at",
  );
  const used = server.log.map(({ authorization }) => authorization?.split(" ")[1]);
  const secrets = [...new Set([account.password, ...used.filter((value) => value !== undefined)])];
  t.ok(secrets.length > 2, "tokens among them");
  t.same(
    secrets.filter((secret) => said.some((text) => text.includes(secret))),
    [],
    "nothing said has a secret",
  );
  const patterns = secrets.flatMap((secret) => ["-e", secret]);
  const found = await command("grep", ["-rlaF", ...patterns, join(folder, "root"), join(folder, "state")], {
    allow: [1, 2],
  });
  t.equal(found.stdout, "", "nor has a file");
}

async function main(): Promise<void> {
  await using images = new Cleanup();
  const debian = await oddRegistry(images);
  const copy = await readImage({ host: debian.host, repository: "odd", tag: "esgz" });

  await t.test(
    "lazy layers of a private image go on after a restart with an encrypted credential",
    async (t) => {
      await using cleanup = new Cleanup();
      const node = await nodeOf(cleanup, { copy, keep: "encrypted" });
      const { image, folder } = node;
      const first = await node.start();
      await pull(first, image);
      t.equal(await sumOf(first, { image, folder, path: "data/exact" }), digests.exact);
      await first.stop();
      node.server.revokeTokens();
      const second = await node.start();
      cleanup.add(() => second.stop());
      t.equal(
        await sumOf(second, { image, folder, path: "data/large" }),
        digests.large,
        "fetched by the new process",
      );
      const path = join(folder, "root", "credentials");
      for (const name of ["key", "credentials"]) t.equal((await stat(join(path, name))).mode & 0o777, 0o600);
      await findNoSecrets(t, node, second);
      const { size } = await stat(join(path, "credentials"));
      await remove(second, image);
      t.ok((await stat(join(path, "credentials"))).size < size, "it went with the image");
    },
  );

  await t.test(
    "a credential kept in memory ends with the process, and a new pull brings it back",
    async (t) => {
      await using cleanup = new Cleanup();
      const node = await nodeOf(cleanup, { copy, keep: "memory" });
      const { image, folder } = node;
      const first = await node.start();
      await pull(first, image);
      await first.stop();
      const second = await node.start();
      cleanup.add(() => second.stop());
      const place = { image, folder, path: "data/large" };
      t.not(await sumOf(second, place), digests.large, "nothing more is fetched");
      await pull(second, image);
      t.equal(await sumOf(second, place), digests.large);
      await findNoSecrets(t, node, second);
    },
  );

  await t.test("with nothing kept, a private image is pulled as a whole", async (t) => {
    await using cleanup = new Cleanup();
    const node = await nodeOf(cleanup, { copy, keep: "none" });
    const { image, folder } = node;
    const daemon = await node.start();
    cleanup.add(() => daemon.stop());
    await pull(daemon, image);
    await node.server.stop();
    t.equal(
      await sumOf(daemon, { image, folder, path: "data/large" }),
      digests.large,
      "nothing is left to fetch",
    );
  });
}

await main();
