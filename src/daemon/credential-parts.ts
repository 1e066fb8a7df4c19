import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { invalidArgument, LazuliError } from "../errors/index.js";
import { images, type Metadata } from "../metadata/index.js";
import { log } from "../observe/index.js";
import { type CredentialProvider, KubeletCredentials } from "../registry/index.js";
import { openCredentialVault, repositoryOf, SharedCredentials } from "../transfer/index.js";
import type { Config } from "./config-keys.js";

/** Name under which a unit passes the key: `LoadCredentialEncrypted=lazuli.key`. */
const SYSTEMD_KEY = "lazuli.key";

/** Those that clients give, kept as `[credentials]` says. @throws FAILED_PRECONDITION for a bad key */
export async function openSharedCredentials(
  { root, credentials }: Config,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<SharedCredentials> {
  const { keep, keepForMs } = credentials;
  const vault =
    keep === "encrypted"
      ? await openCredentialVault({
          folder: join(root, "credentials"),
          keyPath: await systemdKey(environment.CREDENTIALS_DIRECTORY),
        })
      : undefined;
  const shared = new SharedCredentials({ isKeeping: keep !== "none", keepForMs, vault });
  await shared.restore();
  return shared;
}

/** Credential providers of a kubelet. @throws FAILED_PRECONDITION for a config that is not right, INVALID_ARGUMENT */
export async function kubeletCredentials({ credentials }: Config): Promise<readonly CredentialProvider[]> {
  const { kubeletConfig, kubeletFolder } = credentials;
  if (kubeletConfig === undefined && kubeletFolder === undefined) return [];
  if (kubeletConfig === undefined || kubeletFolder === undefined) {
    throw invalidArgument(
      "Cannot use credential providers: want both their config and their folder, got one",
      {
        reason: "config-invalid",
        hint: "Set kubelet_config and kubelet_folder in [credentials]",
      },
    );
  }
  const provider = new KubeletCredentials({ configPath: kubeletConfig, folder: kubeletFolder });
  await provider.check();
  return [provider];
}

/** Forgets the credential of a repository with its last image, also where that went while no process ran. */
export async function watchRemovedImages(shared: SharedCredentials, metadata: Metadata): Promise<Disposable> {
  const present = (): Set<string> => {
    const repositories = Array.from(metadata.entries(images, []), ({ key }) =>
      nameRepository(String(key[1])),
    );
    return new Set(repositories.filter((repository) => repository !== undefined));
  };
  const forgetUnused = async (repositories: readonly string[]): Promise<void> => {
    // A listener hears of changes before they are there to be read; the end of a later write stands behind them.
    await metadata.write(() => undefined);
    const left = present();
    for (const repository of repositories) if (!left.has(repository)) await shared.forget(repository);
  };
  await shared.retain(present());
  return metadata.observe((changes) => {
    const gone = new Set<string>();
    for (const { table, key, record } of changes) {
      if (table !== images.name || record !== undefined) continue;
      const repository = nameRepository(String(key[1]));
      if (repository !== undefined && shared.has(repository)) gone.add(repository);
    }
    if (gone.size === 0) return;
    forgetUnused([...gone]).catch((thrown: unknown) => {
      // The next start forgets it: it asks for the images that are there.
      log.warn("Cannot forget credentials", { error: LazuliError.from(thrown).message });
    });
  });
}

/** Undefined for an image under another name than a reference: its id, or what a client thought up. */
function nameRepository(name: string): string | undefined {
  try {
    return repositoryOf(name);
  } catch {
    // Nothing is kept under such a name.
    return undefined;
  }
}

async function systemdKey(folder: string | undefined): Promise<string | undefined> {
  if (folder === undefined || folder === "") return undefined;
  const path = join(folder, SYSTEMD_KEY);
  // A unit may pass credentials without this one.
  const facts = await lstat(path).catch(() => undefined);
  return facts === undefined ? undefined : path;
}
