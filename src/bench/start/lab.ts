import { mkdir, mkdtemp, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { delay } from "../../async/index.js";
import { failedPrecondition } from "../../errors/index.js";
import {
  type BenchRegistry,
  type Engine,
  makeCertificate,
  type Programs,
  REGISTRY_NAME,
  startBenchRegistry,
  startEngine,
  warmBlobs,
} from "../engines/index.js";
import { type LinkState, LinkThread } from "../link/index.js";
import { Cleanup, command, dropCaches, processesOfNamespace } from "../tools/index.js";
import type { Contestant } from "./contestants.js";
import type { LinkFigures } from "./measure-start.js";

/** What a link is like. */
export interface LinkShape {
  readonly rttMs: number;
  readonly bitsPerSecond: number;
  readonly jitterMs: number;
  /** Undefined: none breaks. */
  readonly breakEveryBytes: number | undefined;
}

/** For images that are brought before a start is measured. */
export const fastLink: LinkShape = {
  rttMs: 0,
  bitsPerSecond: 100e9,
  jitterMs: 0,
  breakEveryBytes: undefined,
};
/** Where soci keeps its content, which no option of its releases up to 0.4 moves. */
const SOCI_ROOT = "/var/lib/soci-snapshotter-grpc";
/** For processes that were told to end. */
const END_LOOKS = 40;
const END_PAUSE_MS = 50;

export interface LabOptions {
  readonly cacheFolder: string;
  readonly programs: Programs;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** A registry behind a link, and engines that pull from it. Must run in a mount namespace of its own. */
export class Lab implements AsyncDisposable {
  readonly folder: string;
  readonly #options: LabOptions;
  readonly #cleanup: Cleanup;
  readonly #registry: BenchRegistry;
  readonly #authority: string;
  readonly #links = new LinkThread();
  #link: LinkState | undefined;
  #engines = 0;

  private constructor(parts: {
    readonly folder: string;
    readonly options: LabOptions;
    readonly cleanup: Cleanup;
    readonly registry: BenchRegistry;
    readonly authority: string;
  }) {
    this.folder = parts.folder;
    this.#options = parts.options;
    this.#cleanup = parts.cleanup;
    this.#registry = parts.registry;
    this.#authority = parts.authority;
  }

  static async open(options: LabOptions): Promise<Lab> {
    const cleanup = new Cleanup();
    try {
      await requireOwnMounts();
      const folder = await mkdtemp(join(tmpdir(), "lazuli-bench-"));
      cleanup.add(() => rm(folder, { recursive: true, force: true }));
      cleanup.add(endLeftProcesses);
      await coverMachine(folder, cleanup);
      const certificate = await makeCertificate(folder);
      const { cacheFolder } = options;
      const registry = await startBenchRegistry({ cacheFolder, folder, certificate });
      cleanup.add(() => registry.stop());
      return new Lab({ folder, options, cleanup, registry, authority: certificate.certificate });
    } catch (thrown) {
      await cleanup[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** From now on; connections of the link before are broken. */
  async setLink({ breakEveryBytes, ...shape }: LinkShape): Promise<void> {
    this.#link = await this.#links.set({
      target: { host: "127.0.0.1", port: this.#registry.port },
      ...shape,
      ...(breakEveryBytes === undefined ? {} : { breakEveryBytes }),
      ...(this.#link === undefined ? {} : { port: this.#link.port }),
      seed: this.#options.seed,
    });
  }

  /** `name:port` of the registry behind the link, the same for all links. */
  get registryHost(): string {
    if (this.#link === undefined) {
      throw failedPrecondition("Cannot name the registry: it has no link", { reason: "link-missing" });
    }
    return `${REGISTRY_NAME}:${this.#link.port}`;
  }

  /** Of the link since it was set, and of the registry. */
  async figures(): Promise<LinkFigures> {
    return { bytes: (await this.#links.state()).bytesDown, requests: await this.#registry.requests() };
  }

  async startEngine(
    contestant: Contestant,
    { profiles, isForLearning = false }: { profiles?: string | undefined; isForLearning?: boolean } = {},
  ): Promise<Engine> {
    this.#engines += 1;
    const { programs, signal } = this.#options;
    return await startEngine({
      kind: contestant.kind,
      folder: join(this.folder, `engine-${this.#engines}`),
      programs,
      registryHost: this.registryHost,
      authority: this.#authority,
      profiles,
      isForLearning,
      signal,
    });
  }

  /** Nothing of any file is in memory, but what the registry is going to send. */
  async cool(image: { readonly repository: string; readonly tag: string }): Promise<void> {
    await dropCaches();
    await warmBlobs({ cacheFolder: this.#options.cacheFolder, ...image });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#links[Symbol.asyncDispose]();
    await this.#cleanup[Symbol.asyncDispose]();
  }
}

/** @throws FAILED_PRECONDITION `namespace-shared` where mounts of this process are seen by the one that started it */
async function requireOwnMounts(): Promise<void> {
  const [own, above] = await Promise.all(
    ["self", String(process.ppid)].map(async (pid) => await readlink(`/proc/${pid}/ns/mnt`)),
  );
  if (own !== above) return;
  throw failedPrecondition("Cannot measure starts: want a mount namespace of its own", {
    reason: "namespace-shared",
    hint: "Run it as `lazuli bench start`, as root",
  });
}

/** What can't be told to programs: the registry's name, and another folder in the place of soci's. */
async function coverMachine(folder: string, cleanup: Cleanup): Promise<void> {
  const hosts = join(folder, "hosts");
  const own = await readFile("/etc/hosts", "utf8").catch(() => "127.0.0.1 localhost\n"); // There may be none.
  await writeFile(hosts, `${own.trimEnd()}\n127.0.0.1 ${REGISTRY_NAME}\n`);
  const store = join(folder, "soci-root");
  await mkdir(store);
  await mkdir(SOCI_ROOT, { recursive: true });
  for (const [from, to] of [
    [hosts, "/etc/hosts"],
    [store, SOCI_ROOT],
  ] as const) {
    await command("mount", ["--bind", from, to]);
    cleanup.add(async () => {
      await command("umount", ["-l", to]);
    });
  }
}

/** Shims and helpers whose daemons have ended without them. */
async function endLeftProcesses(): Promise<void> {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    for (let look = 0; look < END_LOOKS; look += 1) {
      const pids = await processesOfNamespace();
      if (pids.length === 0) return;
      for (const pid of pids) {
        try {
          process.kill(pid, signal);
        } catch {
          // It has ended meanwhile.
        }
      }
      await delay(END_PAUSE_MS);
    }
  }
}
