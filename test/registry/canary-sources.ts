import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { credentialProvider, requestCredential } from "../../src/cri/image-credential.js";
import { KubeletCredentials, type RegistryOptions } from "../../src/registry/index.js";
import { openCredentialVault, SharedCredentials } from "../../src/transfer/index.js";

export const canary = {
  username: "canary-user-7f3a",
  password: "canary-password-91bd",
  identityToken: "canary-identity-c05e",
  registryToken: "canary-registry-28aa",
  /** What a helper writes to stderr. */
  told: "canary-told-d411",
  /** In the environment of the process that asks. */
  environment: "canary-environment-6b0c",
} as const;

const pair = Buffer.from(`${canary.username}:${canary.password}`).toString("base64");

/** Every form in which a secret may be found; the user alone is none where the password is not beside it. */
export const canaryForms: readonly string[] = [
  ...Object.values(canary),
  pair,
  Buffer.from(canary.password).toString("base64").replace(/=+$/, ""),
  Buffer.from(pair).toString("base64").replace(/=+$/, ""),
];

const ofPassword = canaryForms.filter(
  (form) => form !== canary.identityToken && form !== canary.registryToken,
);
const ofIdentity = [canary.identityToken, canary.told, canary.environment];
const ofRegistry = [canary.registryToken, canary.told, canary.environment];

export interface CanaryPlace {
  readonly folder: string;
  readonly host: string;
}

/** Where a credential comes from. */
export interface CanarySource {
  readonly name: string;
  /** The forms of its own secrets: a server may echo others, which nobody can tell from its words. */
  readonly secrets: readonly string[];
  prepare(place: CanaryPlace): Promise<RegistryOptions>;
}

const password = { username: canary.username, password: canary.password };

/** A program that notes its own arguments and environment, prints an answer, and babbles to stderr. */
async function program(path: string, answer: string): Promise<void> {
  const notes = `${path}.seen`;
  const script = `#!/bin/sh
tr '\\0' '\\n' < /proc/$$/cmdline > ${notes}; tr '\\0' '\\n' < /proc/$$/environ >> ${notes}; ls -l /proc/$$/fd >> ${notes}
cat > /dev/null; echo ${canary.told} >&2; cat ${path}.answer; exit 0
`;
  await writeFile(`${path}.answer`, answer);
  await writeFile(path, script);
  await chmod(path, 0o755);
}

/** What the programs of a folder saw of us. */
export async function seenByPrograms(folder: string): Promise<string> {
  const names = ["docker-credential-lazuli-canary", "provider"].map((name) =>
    join(folder, "bin", `${name}.seen`),
  );
  const texts = await Promise.all(names.map((path) => readFile(path, "utf8").catch(() => "")));
  return texts.join("\n");
}

async function dockerConfig({ folder }: CanaryPlace, config: object): Promise<RegistryOptions> {
  const path = join(folder, "config.json");
  await writeFile(path, JSON.stringify(config));
  return { dockerConfigPaths: [path] };
}

function docker(name: string, entry: object, secrets = ofPassword): CanarySource {
  return { name, secrets, prepare: (place) => dockerConfig(place, { auths: { [place.host]: entry } }) };
}

/** The helper is found through PATH, which all of them share: the folder of the first one stays in it. */
function helper(
  name: string,
  answer: string,
  options: { secrets?: readonly string[]; fallback?: object } = {},
): CanarySource {
  return {
    name,
    secrets: options.secrets ?? ofPassword,
    prepare: async (place) => {
      const bin = join(place.folder, "bin");
      await mkdir(bin, { recursive: true });
      await program(join(bin, "docker-credential-lazuli-canary"), answer);
      process.env.PATH = `${bin}:${process.env.PATH?.replace(/^[^:]*lazuli-registry-test-[^:]*:/, "")}`;
      const auths = options.fallback === undefined ? {} : { [place.host]: options.fallback };
      return await dockerConfig(place, { credHelpers: { [place.host]: "lazuli-canary" }, auths });
    },
  };
}

function cri(name: string, auth: Record<string, string>, secrets = ofPassword): CanarySource {
  const empty = {
    username: "",
    password: "",
    auth: "",
    identityToken: "",
    registryToken: "",
    serverAddress: "",
  };
  return {
    name,
    secrets,
    prepare: async () => {
      const credential = requestCredential({ ...empty, ...auth } as Parameters<typeof requestCredential>[0]);
      return { credentials: [credentialProvider(credential!, "")] };
    },
  };
}

const kubelet: CanarySource = {
  name: "a credential provider of the kubelet",
  secrets: ofPassword,
  prepare: async ({ folder, host }) => {
    const bin = join(folder, "bin");
    await mkdir(bin, { recursive: true });
    const apiVersion = "credentialprovider.kubelet.k8s.io/v1";
    const answer = {
      kind: "CredentialProviderResponse",
      apiVersion,
      cacheKeyType: "Registry",
      auth: { [host]: password },
    };
    await program(join(bin, "provider"), JSON.stringify(answer));
    const configPath = join(folder, "providers.yaml");
    await writeFile(
      configPath,
      `apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: provider\n  apiVersion: ${apiVersion}\n  matchImages: ["${host}"]\n  defaultCacheDuration: 1h\n`,
    );
    return { credentials: [new KubeletCredentials({ configPath, folder: bin })] };
  },
};

const kept: CanarySource = {
  name: "an earlier pull, kept encrypted",
  secrets: ofPassword,
  prepare: async ({ folder, host }) => {
    const vault = await openCredentialVault({ folder: join(folder, "vault"), keyPath: undefined });
    const first = new SharedCredentials({ vault });
    await first.note(`${host}/library/thing:1`, { kind: "password", ...password });
    const second = new SharedCredentials({ vault });
    await second.restore();
    return { credentials: [second] };
  },
};

const helperAnswer = JSON.stringify({ Username: canary.username, Secret: canary.password });

export const sources: readonly CanarySource[] = [
  docker("auth of a Docker config", { auth: pair }),
  docker("user and password of a Docker config", password),
  docker("identity token of a Docker config", { auth: pair, identitytoken: canary.identityToken }, [
    ...ofPassword,
    ...ofIdentity,
  ]),
  docker("registry token of a Docker config", { registrytoken: canary.registryToken }, ofRegistry),
  helper("a credential helper", helperAnswer),
  helper("a helper's identity token", JSON.stringify({ Username: "<token>", Secret: canary.identityToken }), {
    secrets: ofIdentity,
  }),
  helper("a broken helper before a Docker config", `${helperAnswer} and more`, { fallback: { auth: pair } }),
  cri("user and password by CRI", password),
  cri("auth by CRI", { auth: pair }),
  cri("identity token by CRI", { identityToken: canary.identityToken }, ofIdentity),
  cri("registry token by CRI", { registryToken: canary.registryToken }, ofRegistry),
  kubelet,
  kept,
];
