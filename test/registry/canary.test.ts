import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { inspect } from "node:util";
import t from "tap";
import { Metrics } from "../../src/daemon/metrics.js";
import { feedMetrics } from "../../src/daemon/metrics-sources.js";
import { startTracing } from "../../src/daemon/tracing.js";
import { LazuliError } from "../../src/errors/index.js";
import { logChannel } from "../../src/observe/index.js";
import { Registry } from "../../src/registry/index.js";
import { rpcError } from "../../src/services/index.js";
import { recordCounts } from "../../testing/counts/index.js";
import { createAuthority } from "../../testing/registry/index.js";
import { bytes, read, type Scene, type SceneParts, type Situation, situations } from "./canary-situations.js";
import { type CanarySource, canary, canaryForms, seenByPrograms, sources } from "./canary-sources.js";
import { fullText, makeCertsDirectory, makeFolder, makeServer, quick, type Teardown } from "./rig.js";

/** Named texts that must be free of secrets. */
type Outputs = Record<string, string>;

interface Ran {
  readonly outputs: Outputs;
  /** Bearer tokens that were given for the work: secrets as well. */
  readonly tokens: readonly string[];
  readonly hasWorked: boolean;
}

const auths = {
  basic: { kind: "basic", username: canary.username, password: canary.password },
  token: {
    kind: "token",
    username: canary.username,
    password: canary.password,
    identityToken: canary.identityToken,
  },
} as const;

async function sceneOf(t: Teardown, situation: Situation, parts: SceneParts): Promise<Scene> {
  const other = await makeServer(t);
  const { realm, redirect, isTls, auth } = situation;
  const server = await makeServer(t, {
    auth: { ...auths[auth], ...(realm === undefined ? {} : { realm: realm(other) }) },
    ...(redirect === undefined ? {} : { redirect }),
    ...(isTls === undefined ? {} : { tls: parts.certificate }),
  });
  const digest = server.addBlob(bytes);
  other.addBlob(bytes);
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  server.addManifest({ repository: "library/thing", tag: "1", bytes: Buffer.from("{}"), mediaType });
  const scene = { server, other, digest };
  situation.arrange?.(scene);
  return scene;
}

async function hostsOf(
  t: Teardown,
  {
    situation,
    scene,
    parts,
  }: {
    situation: Situation;
    scene: Scene;
    parts: SceneParts;
  },
): Promise<readonly string[]> {
  const { host, url } = scene.server;
  const toml =
    situation.hosts?.(scene) ?? (situation.isTls ? `server = "${url}"\nca = "ca.pem"\n` : undefined);
  if (toml === undefined) return [];
  return [
    await makeCertsDirectory(t, {
      [`${host}/hosts.toml`]: toml,
      [`${host}/ca.pem`]: parts.authority.certificate,
    }),
  ];
}

async function textsBelow(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const texts = await Promise.all(
    names.map((name) => readFile(join(folder, name), "latin1").catch(() => "")),
  );
  return texts.join("\n");
}

function textOf(thrown: unknown): string {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return [
    fullText(error),
    String(error),
    inspect(error, { depth: 8 }),
    (error as { hint?: string }).hint,
  ].join("\n");
}

async function run(
  t: Teardown,
  options: { source: CanarySource; situation: Situation; parts: SceneParts },
): Promise<Ran> {
  const { source, situation, parts } = options;
  const scene = await sceneOf(t, situation, parts);
  const folder = await makeFolder(t);
  const hostsDirectories = await hostsOf(t, { situation, scene, parts });
  const given = await source.prepare({ folder, host: scene.server.host });
  const retry = { attempts: 2, minWaitMs: 1, maxWaitMs: 2 };
  const registry = new Registry({ ...quick, retry, hostsDirectories, ...given });
  const outputs: Outputs = {};
  let hasWorked = false;
  try {
    await (situation.work ?? read)(registry, scene);
    hasWorked = true;
  } catch (thrown) {
    const status = rpcError(LazuliError.from(thrown));
    outputs["the error"] = textOf(thrown);
    outputs["the gRPC status"] = [
      status.message,
      status.rawMessage,
      JSON.stringify(status.details),
      [...status.metadata],
    ].join();
  } finally {
    await registry.close();
  }
  const wires = (list: readonly { wire: string }[]): string => list.map(({ wire }) => wire).join("\n");
  const strangers = scene.server.log.filter((record) => record.server === "storage");
  if (situation.isTokenServer !== true) outputs["another host"] = wires(scene.other.log);
  else outputs["the token server's address"] = scene.other.log.map(({ path }) => path).join("\n");
  outputs["storage"] = wires(strangers);
  outputs["children"] = await seenByPrograms(folder);
  outputs["state"] = await textsBelow(join(folder, "vault"));
  const tokens = scene.server.log.map(
    ({ authorization }) => /^Bearer ([0-9a-f]{32})$/.exec(authorization ?? "")?.[1],
  );
  return { outputs, hasWorked, tokens: tokens.filter((token) => token !== undefined) };
}

async function collector(t: Teardown): Promise<{ url: string; text: () => string }> {
  const pieces: Buffer[] = [];
  const server = createServer((request, response) => {
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => response.end("{}"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, text: () => Buffer.concat(pieces).toString("latin1") };
}

/** Runs the teardowns of one combination at its end, and not at that of the test. */
class Combination implements Teardown {
  readonly #actions: (() => unknown)[] = [];
  teardown(action: () => unknown): void {
    this.#actions.push(action);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    for (const action of this.#actions.reverse()) await action();
  }
}

t.test(
  "no secret leaves for another host, a log, an error, a metric, a span, a file or a child",
  async (t) => {
    const authority = await createAuthority();
    t.teardown(() => authority.close());
    const parts = { authority, certificate: await authority.issue({ names: ["127.0.0.1"] }) };
    process.env.LAZULI_CANARY = canary.environment;
    const path = process.env.PATH;
    t.teardown(() => {
      delete process.env.LAZULI_CANARY;
      process.env.PATH = path;
    });
    const metrics = new Metrics();
    using _feed = feedMetrics(metrics);
    const spans = await collector(t);
    const tracing = startTracing(
      { OTEL_EXPORTER_OTLP_ENDPOINT: spans.url, OTEL_TRACES_SAMPLER: "always_on" },
      "1",
    )!;
    const allTokens = new Set<string>();
    const worked = new Set<string>();
    const logged: string[] = [];
    using _listener = logChannel.subscribe((record) => logged.push(JSON.stringify(record)));
    let combinations = 0;
    let texts = 0;
    const found: string[] = [];
    const search = (place: string, outputs: Outputs, secrets: readonly string[]): void => {
      for (const [output, text] of Object.entries(outputs)) {
        texts += 1;
        const secret = secrets.find((one) => text.includes(one));
        if (secret !== undefined) found.push(`${place}: ${secret} in ${output}`);
        if (/^(another host|storage)$/.test(output) && /^(proxy-)?authorization$/im.test(text)) {
          found.push(`${place}: an authorization for ${output}`);
        }
      }
    };
    for (const source of sources) {
      for (const situation of situations) {
        await using combination = new Combination();
        const headers = new Headers({ "containerd-namespace": "k8s.io" });
        const scope = tracing.observe({
          service: "runtime.v1.ImageService",
          method: "PullImage",
          headers,
        } as never);
        const ran = await scope.run(async () => await run(combination, { source, situation, parts }));
        scope.end("OK");
        const place = `${source.name}, ${situation.name}`;
        search(place, { ...ran.outputs, log: logged.splice(0).join("\n") }, [
          ...source.secrets,
          ...ran.tokens,
        ]);
        for (const token of ran.tokens) allTokens.add(token);
        if (ran.hasWorked) worked.add(`${source.name}, ${situation.auth}`);
        combinations += 1;
      }
    }
    await tracing[Symbol.asyncDispose]();
    const page = await metrics.text();
    search("all of them", { metrics: page, spans: spans.text(), "the last of the log": logged.join("\n") }, [
      ...canaryForms,
      ...allTokens,
    ]);
    t.match(page, /lazuli_registry_requests_total\{.*\} \d/, "there are figures to look at");
    t.match(spans.text(), "registry request", "and spans");
    t.ok(worked.size >= 12, `with a right secret the work is done: ${worked.size}`);
    t.same(found, []);
    t.ok(combinations >= 300, `${combinations} combinations`);
    await recordCounts({
      name: "canaries",
      what: "Ways of secrets: where they come from x what servers do; texts that were searched",
      figures: { combinations, sources: sources.length, situations: situations.length, texts },
    });
  },
);
