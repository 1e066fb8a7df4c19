import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import {
  createAuthority,
  type RegistryServer,
  type RegistryServerOptions,
  type RequestRecord,
  startRegistry,
} from "../../testing/registry/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { runInContainer } from "../../testing/rig/container.js";
import { freePort } from "../../testing/rig/free-port.js";
import { type ImageCopy, publishCopy, readImage } from "../../testing/rig/image-copy.js";
import { type Lab, oddRegistry, startLab } from "../../testing/rig/lab.js";
import { explained, statusOf } from "../../testing/rig/node-facts.js";
import { oddImageDigests } from "../../testing/rig/odd-image.js";

const username = "canary-user";
const digests = oddImageDigests();

/** One way to a registry, with the folders that lazuli and the client share. */
class Way {
  readonly cleanup = new Cleanup();
  readonly password = `canary-${randomBytes(12).toString("hex")}`;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.cleanup.add(() => rm(folder, { recursive: true, force: true }));
  }

  get hostsFolder(): string {
    return join(this.#folder, "certs.d");
  }

  get config(): string {
    return [
      "[layer]",
      'background_fill = false\nreadahead_max = "4KiB"',
      '[log]\nlevel = "debug"',
      `[registry]\nconfig_path = ["${this.hostsFolder}"]`,
      `docker_config = "${join(this.#folder, "docker.json")}"`,
    ].join("\n");
  }

  async server(image: ImageCopy, options: RegistryServerOptions = {}): Promise<RegistryServer> {
    const server = await startRegistry(options);
    this.cleanup.add(() => server.stop());
    publishCopy(server, image, { repository: "odd", tag: "esgz" });
    return server;
  }

  /** Writes files of the folder of one host; a port's colon stands there as underscores. */
  async host(host: string, files: Readonly<Record<string, string>>): Promise<void> {
    const folder = join(this.hostsFolder, host.replace(/^(.*):(\d+)$/, "$1_$2_"));
    await mkdir(folder, { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  }

  /** Gives lazuli, and only it, the credential of a host. */
  async login(host: string): Promise<void> {
    const auths = { [host]: { auth: this.basic } };
    await writeFile(join(this.#folder, "docker.json"), JSON.stringify({ auths }));
  }

  get basic(): string {
    return Buffer.from(`${username}:${this.password}`).toString("base64");
  }

  get account(): { username: string; password: string } {
    return { username, password: this.password };
  }
}

interface Scene {
  readonly image: string;
  /** Further words for the pulling client. */
  readonly words: readonly string[];
  readonly servers: readonly RegistryServer[];
  /** Called between the two reads. */
  readonly interrupt?: () => void;
}

/** Pulls an image lazily, reads it in two containers, and looks for secrets in everything lazuli says. */
async function pullAndRead(t: Test, way: Way, scene: Scene): Promise<void> {
  const { image, servers } = scene;
  await using lab = await startLab({ config: way.config });
  await lab.containerd.ctrRemote(["images", "rpull", ...scene.words, "--snapshotter", "lazuli", image]);
  const first = await runInContainer(lab, image, "sha256sum /data/exact");
  t.equal(first.stdout, `${digests.exact}  /data/exact\n`, "a container reads its files");
  scene.interrupt?.();
  const second = await runInContainer(lab, image, "sha256sum /data/large");
  t.equal(second.stdout, `${digests.large}  /data/large\n`, "a second one reads what the first did not");
  const { layers, snapshots } = await statusOf(lab);
  t.equal(layers.length, 3, "status has all three layers");
  const committed = snapshots.filter((snapshot) => snapshot.kind === "committed");
  t.same(
    committed.map((snapshot) => snapshot.lazy),
    [true, true, true],
    "all layers are lazy",
  );
  t.ok(
    (await explained(lab, image)).every((layer) => layer.lazy),
    "explain says so",
  );
  const records = servers.flatMap((server) => [...server.log]).filter(isOfLazuli);
  t.ok(
    records.some((record) => record.path.includes("blobs/") && record.range !== undefined),
    "lazuli asked for ranges",
  );
  await findNoSecrets(t, { lab, image, secrets: secretsOf(way, servers) });
}

function isOfLazuli(record: RequestRecord): boolean {
  return /\nuser-agent\nlazuli/i.test(record.wire);
}

/** Passwords, tokens and signatures that any client of these servers used. */
function secretsOf(way: Way, servers: readonly RegistryServer[]): string[] {
  const used = servers
    .flatMap((server) => server.log)
    .flatMap((record) => [
      record.authorization?.split(" ")[1],
      /signature=([0-9a-f]+)/.exec(record.path)?.[1],
    ]);
  const known = used.filter((secret): secret is string => secret !== undefined);
  return [...new Set([way.password, way.basic, ...known])];
}

async function findNoSecrets(
  t: Test,
  options: { lab: Lab; image: string; secrets: readonly string[] },
): Promise<void> {
  const { lab, image, secrets } = options;
  const { lazuli, logFile, root } = lab.snapshotter;
  const said = [await readFile(logFile, "utf8")];
  for (const words of [["status"], ["explain", image]]) {
    said.push((await lazuli(words)).stdout, (await lazuli([...words, "--json"])).stdout);
  }
  t.ok(
    said.every((text) => text.length > 100),
    "there is a log, a status and an explanation to look at",
  );
  t.same(
    secrets.filter((secret) => said.some((text) => text.includes(secret))),
    [],
    "none of them has a secret",
  );
  const patterns = secrets.flatMap((secret) => ["-e", secret]);
  const found = await command("grep", ["-rlaF", ...patterns, root], { allow: [1] });
  t.equal(found.stdout, "", "no file that lazuli keeps has a secret");
}

t.setTimeout(300_000);

async function main(): Promise<void> {
  await using cleanup = new Cleanup();
  const debian = await oddRegistry(cleanup);
  const image = await readImage({ host: debian.host, repository: "odd", tag: "esgz" });
  for (const [name, run] of Object.entries(ways)) {
    await t.test(`lazuli pulls lazily ${name}`, async (t) => {
      const way = new Way(await mkdtemp(join(tmpdir(), "lazuli-way-")));
      await using _cleanup = way.cleanup;
      await run(t, way, image);
    });
  }
}

const ways: Readonly<Record<string, (t: Test, way: Way, image: ImageCopy) => Promise<void>>> = {
  "by plain HTTP": async (t, way, image) => {
    const server = await way.server(image);
    await pullAndRead(t, way, {
      image: `${server.host}/odd:esgz`,
      words: ["--plain-http"],
      servers: [server],
    });
  },

  "by TLS with a private authority": async (t, way, image) => {
    const authority = await createAuthority();
    way.cleanup.add(() => authority.close());
    const server = await way.server(image, { tls: await authority.issue({ names: ["127.0.0.1"] }) });
    // containerd 1.6 refuses a hosts.toml without a host table.
    const hostsToml = `server = "${server.url}"\n[host."${server.url}"]\nca = "authority.crt"\n`;
    await way.host(server.host, { "hosts.toml": hostsToml, "authority.crt": authority.certificate });
    await pullAndRead(t, way, {
      image: `${server.host}/odd:esgz`,
      words: ["--hosts-dir", way.hostsFolder],
      servers: [server],
    });
  },

  "with a name and a password": async (t, way, image) => {
    const server = await way.server(image, { auth: { kind: "basic", ...way.account } });
    await way.login(server.host);
    await pullAndRead(t, way, {
      image: `${server.host}/odd:esgz`,
      words: ["--plain-http", "-u", `${username}:${way.password}`],
      servers: [server],
    });
    const ranges = server.log.filter((record) => isOfLazuli(record) && record.status === 206);
    t.ok(ranges.length > 0, "the registry gave lazuli ranges");
    t.ok(
      ranges.every((record) => record.authorization === `Basic ${way.basic}`),
      "for its password",
    );
  },

  "with tokens that do not last": async (t, way, image) => {
    const server = await way.server(image, { auth: { kind: "token", ...way.account } });
    await way.login(server.host);
    let tokensBefore = 0;
    await pullAndRead(t, way, {
      image: `${server.host}/odd:esgz`,
      words: ["--plain-http", "-u", `${username}:${way.password}`],
      servers: [server],
      interrupt: () => {
        server.revokeTokens();
        tokensBefore = server.tokensIssued;
      },
    });
    t.ok(tokensBefore > 0, "tokens were in use");
    t.ok(server.tokensIssued > tokensBefore, "a new token was fetched when the old one had lost its worth");
    const blobs = server.log.filter((record) => isOfLazuli(record) && record.path.includes("/blobs/"));
    t.ok(
      blobs.every((record) => !record.wire.includes(way.basic)),
      "the password went to the token server only",
    );
  },

  "from the third mirror, when the others are down or do not have it": async (t, way, image) => {
    const name = "registry.test";
    const downPort = await freePort();
    const empty = await startRegistry();
    way.cleanup.add(() => empty.stop());
    const mirror = await way.server(image);
    const mirrors = [`http://127.0.0.1:${downPort}`, empty.url, mirror.url].map(
      (url) => `[host."${url}"]\ncapabilities = ["pull", "resolve"]\n`,
    );
    await way.host(name, {
      "hosts.toml": [`server = "http://127.0.0.1:${downPort}"`, ...mirrors].join("\n"),
    });
    await way.login(name);
    await pullAndRead(t, way, {
      image: `${name}/odd:esgz`,
      words: ["--hosts-dir", way.hostsFolder],
      servers: [empty, mirror],
    });
    t.ok(
      empty.log.some((record) => isOfLazuli(record) && record.status === 404),
      "lazuli asked the second",
    );
    const fromMirror = mirror.log.filter((record) => isOfLazuli(record) && record.status === 206);
    const bytes = fromMirror.reduce((sum, record) => sum + record.bytesSent, 0);
    t.ok(bytes > 9_500_000, "the content came from the third");
    const canary = [...empty.log, ...mirror.log].some((record) => record.wire.includes(way.basic));
    t.notOk(canary, "no mirror saw the password of the registry it stands for");
  },

  "from a blob store with addresses that expire": async (t, way, image) => {
    const server = await way.server(image, { auth: { kind: "basic", ...way.account }, redirect: {} });
    await way.login(server.host);
    let requestsBefore = 0;
    await pullAndRead(t, way, {
      image: `${server.host}/odd:esgz`,
      words: ["--plain-http", "-u", `${username}:${way.password}`],
      servers: [server],
      interrupt: () => {
        server.expireSignatures();
        requestsBefore = server.log.length;
      },
    });
    const atStore = server.log.filter((record) => isOfLazuli(record) && record.server === "storage");
    t.ok(
      atStore.some((record) => record.status === 206),
      "the bytes came from the store",
    );
    const after = server.log.slice(requestsBefore).filter(isOfLazuli);
    t.ok(
      after.some((record) => record.server === "storage" && record.status === 403),
      "an address was used after its end",
    );
    t.ok(
      after.some((record) => record.server === "registry" && record.status === 307),
      "and asked for anew",
    );
    t.ok(
      atStore.every((record) => !record.wire.includes(way.basic) && !record.wire.includes(way.password)),
      "the store saw no secret",
    );
  },
};

await main();
