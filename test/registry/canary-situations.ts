import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { Registry } from "../../src/registry/index.js";
import type {
  Authority,
  Certificate,
  RegistryServer,
  RegistryServerOptions,
} from "../../testing/registry/index.js";
import { canary } from "./canary-sources.js";
import { readBytes, someBytes } from "./rig.js";

export const bytes = someBytes(5000);
const pushed = someBytes(100, "pushed");

export interface Scene {
  readonly server: RegistryServer;
  /** A host that no secret is for. */
  readonly other: RegistryServer;
  readonly digest: Digest;
}

type Work = (registry: Registry, scene: Scene) => Promise<unknown>;

/** What a registry, its token server, a mirror or a stranger does with somebody who has a secret. */
export interface Situation {
  readonly name: string;
  readonly auth: "basic" | "token";
  readonly realm?: (other: RegistryServer) => string;
  readonly redirect?: NonNullable<RegistryServerOptions["redirect"]>;
  readonly isTls?: true;
  /** Scripts the servers before the work. */
  readonly arrange?: (scene: Scene) => void;
  /** hosts.toml of the registry. */
  readonly hosts?: (scene: Scene) => string;
  readonly work?: Work;
  /** The registry names the other host as its token server, which the protocol lets it do. */
  readonly isTokenServer?: true;
}

export interface SceneParts {
  readonly certificate: Certificate;
  readonly authority: Authority;
}

export const read: Work = async (registry, { server, digest }) => {
  const reference = `${server.host}/library/thing:1`;
  const blob = await registry.openBlob({ reference, digest, size: bytes.length });
  return await readBytes(blob, { offset: 0, length: bytes.length });
};

const measured: Work = async (registry, { server, digest }) =>
  await registry.openBlob({ reference: `${server.host}/library/thing:1`, digest });

const manifest: Work = async (registry, { server }) =>
  await registry.fetchManifest({ reference: `${server.host}/library/thing:1` });

const referrers: Work = async (registry, { server, digest }) =>
  await registry.referrers({ reference: `${server.host}/library/thing:1`, subject: digest });

const push: Work = async (registry, { server }) => {
  const target = await registry.pushTarget(`${server.host}/library/thing:1`);
  const open = async function* () {
    yield pushed;
  };
  await target.pushBlob({ digest: sha256(pushed), size: pushed.length, open });
};

const pushManifest: Work = async (registry, { server }) => {
  const target = await registry.pushTarget(`${server.host}/library/thing:1`);
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  await target.pushManifest({ bytes: pushed, digest: sha256(pushed), mediaType });
};

/** Everything that a server can have heard, in one text. */
const { username, password, identityToken, registryToken } = canary;
const pair = Buffer.from(`${username}:${password}`).toString("base64");
const echo = [username, password, identityToken, registryToken, pair].join(" ");
const echoed = JSON.stringify({
  errors: [{ code: "DENIED", message: `no ${echo}` }],
  token: 7,
  details: echo,
});
const basic = 'Basic realm="give"';

const answered =
  (act: Parameters<RegistryServer["script"]>[0]["act"], path = /\/v2\//): NonNullable<Situation["arrange"]> =>
  ({ server }) =>
    server.script({ on: "registry", path, act });

const tokenAnswered =
  (act: Parameters<RegistryServer["script"]>[0]["act"]): NonNullable<Situation["arrange"]> =>
  ({ server }) =>
    server.script({ on: "token", act });

const redirects: readonly Situation[] = [301, 302, 303, 307, 308].flatMap((status) => [
  { name: `a redirect ${status} to storage`, auth: "basic", redirect: { status } } as const,
  { name: `a redirect ${status} to storage, with tokens`, auth: "token", redirect: { status } } as const,
]);

const tokens: readonly Situation[] = [
  {
    name: "a token server that redirects",
    auth: "token",
    arrange: (scene) => {
      const headers = { location: `${scene.other.url}/token?${echo}` };
      scene.server.script({ on: "token", act: { status: 307, headers } });
    },
  },
  {
    name: "a token server that fails and echoes",
    auth: "token",
    arrange: tokenAnswered({ status: 500, body: echoed }),
  },
  {
    name: "a token server that refuses and echoes",
    auth: "token",
    arrange: tokenAnswered({ status: 401, body: echoed }),
  },
  {
    name: "a token server that answers no JSON",
    auth: "token",
    arrange: tokenAnswered({ body: `{"token": ${echo}` }),
  },
  { name: "a token that is no text", auth: "token", arrange: tokenAnswered({ body: echoed }) },
  {
    name: "a token with spaces in it",
    auth: "token",
    arrange: tokenAnswered({ body: JSON.stringify({ token: echo }) }),
  },
  { name: "a realm on another host", auth: "token", realm: ({ url }) => `${url}/token`, isTokenServer: true },
  {
    name: "an http realm of an https registry",
    auth: "token",
    isTls: true,
    realm: ({ url }) => `${url}/token`,
  },
  {
    name: "a realm with a password",
    auth: "token",
    realm: ({ host }) => `http://${canary.username}:x@${host}/`,
  },
  {
    name: "a realm of another scheme",
    auth: "token",
    realm: ({ host }) => `ftp://${host}/${canary.password}`,
  },
  { name: "a realm that is no URL", auth: "token", realm: () => `//${canary.password} ${canary.username}` },
  {
    name: "a revoked token",
    auth: "token",
    work: async (registry, scene) => {
      await read(registry, scene);
      scene.server.revokeTokens();
      return await read(registry, scene);
    },
  },
];

const refusals: readonly Situation[] = [
  {
    name: "a challenge that echoes",
    auth: "basic",
    arrange: answered({
      status: 401,
      headers: { "www-authenticate": `Basic realm="${echo}"` },
      body: echoed,
    }),
  },
  { name: "a refusal that echoes", auth: "basic", arrange: answered({ status: 403, body: echoed }) },
  { name: "an error that echoes", auth: "basic", arrange: answered({ status: 500, body: echoed }) },
  {
    name: "headers that echo",
    auth: "basic",
    arrange: answered({
      contentRange: () => `bytes ${echo}`,
      headers: { "content-encoding": canary.password, etag: echo, warning: echo, "retry-after": echo },
    }),
  },
  {
    name: "a content range that echoes",
    auth: "basic",
    arrange: answered({ contentRange: () => `bytes ${echo}` }),
  },
  {
    name: "a multipart answer that echoes",
    auth: "basic",
    arrange: answered({ multipart: { contentRange: echo, boundary: canary.password } }),
  },
  {
    name: "no HTTP at all",
    auth: "basic",
    arrange: answered({ raw: `HTTP/1.1 200 OK\r\n${echo}\0: x\r\n\r\n` }),
  },
  { name: "a body that breaks off", auth: "basic", arrange: answered({ cutAfter: 100 }, /blobs/) },
  {
    name: "wrong bytes",
    auth: "token",
    arrange: answered({ flipByte: 7 }, /blobs/),
    work: async (registry, scene) => {
      const { server, digest } = scene;
      return await registry.fetchBlobBytes({
        reference: `${server.host}/library/thing:1`,
        digest,
        maxBytes: 10_000,
      });
    },
  },
  {
    name: "a digest that echoes",
    auth: "basic",
    work: manifest,
    arrange: answered({ headers: { "docker-content-digest": `sha256:${echo}`, "content-type": echo } }),
  },
  { name: "a manifest with tokens", auth: "token", work: manifest },
  {
    name: "referrers that echo",
    auth: "basic",
    work: referrers,
    arrange: answered(
      { status: 200, body: echoed, headers: { link: `<http://x/${echo}>; rel="next"` } },
      /referrers/,
    ),
  },
  {
    name: "a push that is refused and echoes",
    auth: "basic",
    work: push,
    arrange: answered({ status: 400, body: echoed }, /uploads/),
  },
  {
    name: "a pushed manifest whose digest echoes",
    auth: "basic",
    work: pushManifest,
    arrange: ({ server }) => {
      const headers = { "docker-content-digest": `sha256:${echo}` };
      server.script({ method: "PUT", skip: 1, act: { status: 201, headers } });
    },
  },
];

const strangers: readonly Situation[] = [
  {
    name: "storage that asks for a password",
    auth: "basic",
    redirect: {},
    arrange: ({ server }) =>
      server.script({ on: "storage", act: { status: 401, headers: { "www-authenticate": basic } } }),
  },
  {
    name: "storage that asks for a token of another host",
    auth: "token",
    redirect: {},
    arrange: ({ server, other }) => {
      const header = `Bearer realm="${other.url}/token",service="x"`;
      server.script({ on: "storage", act: { status: 401, headers: { "www-authenticate": header } } });
    },
  },
  ...(["read", "measure", "manifest"] as const).map(
    (kind): Situation => ({
      name: `a redirect of a ${kind} to another host`,
      auth: "basic",
      work: { read, measure: measured, manifest }[kind],
      arrange: ({ server, other }) => {
        const headers = { location: `${other.url}/v2/library/thing/stolen` };
        server.script({ path: /blobs|manifests/, skip: 1, act: { status: 307, headers, body: "" } });
        other.script({ act: { status: 401, headers: { "www-authenticate": basic } } });
      },
    }),
  ),
  {
    name: "a redirect from https to http",
    auth: "basic",
    isTls: true,
    arrange: ({ server, other }) =>
      server.script({
        path: /blobs/,
        skip: 1,
        act: { status: 307, headers: { location: `${other.url}/x` }, body: "" },
      }),
  },
  {
    name: "a redirect to an address that echoes",
    auth: "basic",
    arrange: answered({
      status: 307,
      headers: { location: `ftp://${canary.password}.example/${echo}` },
      body: "",
    }),
  },
  {
    name: "a redirect to a host that echoes",
    auth: "basic",
    isTls: true,
    arrange: answered({ status: 307, headers: { location: `http://${canary.password}.example/` }, body: "" }),
  },
  {
    name: "a mirror that asks for a password",
    auth: "basic",
    hosts: ({ server, other }) => `server = "${server.url}"\n[host."${other.url}"]\n`,
    arrange: ({ other }) => other.script({ act: { status: 401, headers: { "www-authenticate": basic } } }),
  },
  {
    name: "a mirror that asks for a token",
    auth: "token",
    hosts: ({ server, other }) => `server = "${server.url}"\n[host."${other.url}"]\n`,
    arrange: ({ other }) => {
      const header = `Bearer realm="${other.url}/token",service="x"`;
      other.script({ path: /v2/, act: { status: 401, headers: { "www-authenticate": header } } });
    },
  },
  {
    name: "a push whose place is on another host",
    auth: "basic",
    work: push,
    arrange: ({ server, other }) =>
      server.script({
        path: /uploads/,
        act: { status: 202, headers: { location: `${other.url}/up` }, body: "" },
      }),
  },
  {
    name: "a push whose place echoes",
    auth: "basic",
    work: push,
    arrange: answered(
      { status: 202, headers: { location: `http://${canary.password}.example/` }, body: "" },
      /uploads/,
    ),
  },
];

export const situations: readonly Situation[] = [
  { name: "basic authentication", auth: "basic" },
  { name: "a token", auth: "token" },
  ...redirects,
  ...tokens,
  ...refusals,
  ...strangers,
];
