import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { failedPrecondition, LazuliError } from "../errors/index.js";
import { log } from "../observe/index.js";
import { AttachmentFiles, type KeptAttachment } from "./attachment-file.js";
import { CONF_BYTES_MAX, CONF_FILES_MAX } from "./limits.js";
import { addNetwork, checkNetwork, collectNetwork, deleteNetwork, networkStatus } from "./network.js";
import { loopbackNetwork, type NetworkList, parseNetworkList } from "./network-list.js";
import { type CniResult, parseResult } from "./result.js";

export interface CniOptions {
  /** Folder of the configs: `/etc/cni/net.d`. Read at each use, so that a config may come later. */
  readonly confFolder: string;
  readonly pluginFolders: readonly string[];
  /** Where the results are kept that DEL needs; made when first used. */
  readonly stateFolder: string;
  /** Networks that a pod joins: the first so many in the order of their files' names. 0: all. */
  readonly confMax: number;
}

/** A pod as the plugins know it. */
export interface Attachment {
  readonly id: string;
  /** Path of the network namespace; "" for a DEL where it is gone. */
  readonly netns: string;
  readonly args: Readonly<Record<string, string>>;
  readonly capabilities: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal | undefined;
}

export type CniStatus =
  | { readonly isReady: true; readonly networks: readonly NetworkList[] }
  | { readonly isReady: false; readonly problem: LazuliError };

export interface Cni {
  /** Whether pods can get a network now. */
  status(options?: { signal?: AbortSignal | undefined }): Promise<CniStatus>;
  /**
   * Gives a pod loopback and `eth0`, `eth1`, … of each network; the result is that of `eth0`. What fails is undone.
   *
   * @throws FAILED_PRECONDITION `cni-not-ready`; what a plugin throws
   */
  add(attachment: Attachment): Promise<CniResult>;
  /** Undoes it, also of networks whose config is gone. Safe to call again. @throws the first that failed, when all were tried */
  remove(attachment: Attachment): Promise<void>;
  /** @throws what a plugin throws that finds the pod's network changed */
  check(attachment: Attachment): Promise<void>;
  /** Removes what pods left that are not among the ids. Failures are logged. */
  collect(options: {
    readonly ids: ReadonlySet<string>;
    readonly signal?: AbortSignal | undefined;
  }): Promise<void>;
}

const CONF_NAME = /\.(conflist|conf|json)$/;

/** Pod networks by the plugins and configs of these folders. */
export function openCni(options: CniOptions): Cni {
  const { pluginFolders: folders } = options;
  const files = new AttachmentFiles(options.stateFolder);
  const remove = async (attachment: Attachment): Promise<void> => {
    const failures: unknown[] = [];
    for (const kept of await files.list(attachment.id)) {
      const { netns, signal } = attachment;
      try {
        await deleteNetwork({ ...kept, netns, folders, signal }, kept.result);
        await files.remove(kept);
      } catch (thrown) {
        failures.push(thrown);
      }
    }
    if (failures.length > 0) throw failures[0];
    await files.clean((id) => id !== attachment.id);
  };
  return {
    status: async ({ signal } = {}) => await statusOf(options, signal),
    add: async (attachment) => await add({ attachment, options, files, remove }),
    remove,
    check: async ({ id, netns, signal }) => {
      for (const kept of await files.list(id))
        await checkNetwork({ ...kept, netns, folders, signal }, kept.result);
    },
    collect: async ({ ids, signal }) => await collect({ options, files, ids, signal }),
  };
}

interface AddParts {
  readonly attachment: Attachment;
  readonly options: CniOptions;
  readonly files: AttachmentFiles;
  readonly remove: (attachment: Attachment) => Promise<void>;
}

async function add({ attachment, options, files, remove }: AddParts): Promise<CniResult> {
  const { id, args, capabilities } = attachment;
  const networks = await loadNetworks(options);
  const all = [
    { network: loopbackNetwork, interface: "lo" },
    ...networks.map((network, index) => ({ network, interface: `eth${index}` })),
  ];
  try {
    // One after the other: plugins of one namespace that write the same routes disturb each other.
    const results: CniResult[] = [];
    for (const one of all) {
      const kept: KeptAttachment = { id, ...one, result: undefined, args, capabilities };
      // Before the ADD: what a kill leaves half done is found again.
      await files.put(kept);
      const result = await addNetwork({ ...attachment, ...one, folders: options.pluginFolders });
      await files.put({ ...kept, result });
      results.push(parseResult(result));
    }
    return results[1]!;
  } catch (thrown) {
    const { signal: _, ...undone } = attachment;
    await remove(undone).catch((failed: unknown) => {
      log.warn("Could not undo a pod's network", { pod: id, error: LazuliError.from(failed).message });
    });
    throw thrown;
  }
}

async function statusOf(options: CniOptions, signal: AbortSignal | undefined): Promise<CniStatus> {
  try {
    const networks = await loadNetworks(options);
    for (const network of networks) await networkStatus({ network, folders: options.pluginFolders, signal });
    return { isReady: true, networks };
  } catch (thrown) {
    return { isReady: false, problem: LazuliError.from(thrown) };
  }
}

/** The networks that a pod joins. @throws FAILED_PRECONDITION `cni-not-ready` where there is none */
async function loadNetworks({ confFolder, confMax }: CniOptions): Promise<NetworkList[]> {
  const names = await readdir(confFolder).catch(() => []); // No folder is as an empty one.
  const found: NetworkList[] = [];
  const problems: string[] = [];
  for (const name of names
    .filter((one) => CONF_NAME.test(one))
    .sort()
    .slice(0, CONF_FILES_MAX)) {
    if (confMax > 0 && found.length >= confMax) break;
    const file = join(confFolder, name);
    try {
      const { size } = await stat(file);
      const bytes =
        size > CONF_BYTES_MAX ? Buffer.alloc(size > 0 ? CONF_BYTES_MAX + 1 : 0) : await readFile(file);
      found.push(parseNetworkList(bytes, file));
    } catch (thrown) {
      // One broken file does not take the network from all pods: the next one is taken.
      problems.push(LazuliError.from(thrown).message);
    }
  }
  if (found.length > 0) return found;
  throw failedPrecondition(
    problems[0] ?? `cni plugin not initialized: want a network config in ${confFolder}, got none`,
    {
      subject: confFolder,
      reason: "cni-not-ready",
      hint: "Install a network for pods: it puts a .conflist there",
    },
  );
}

async function collect(parts: {
  readonly options: CniOptions;
  readonly files: AttachmentFiles;
  readonly ids: ReadonlySet<string>;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { options, files, ids, signal } = parts;
  const folders = options.pluginFolders;
  const valid: KeptAttachment[] = [];
  const warn = (network: string, thrown: unknown): void =>
    log.warn("Could not clean up a pod network", { network, error: LazuliError.from(thrown).message });
  for (const kept of await files.list()) {
    if (ids.has(kept.id)) {
      valid.push(kept);
      continue;
    }
    try {
      await deleteNetwork({ ...kept, netns: "", folders, signal }, kept.result);
      await files.remove(kept);
    } catch (thrown) {
      warn(kept.network.name, thrown);
    }
  }
  await files.clean((id) => ids.has(id));
  const status = await statusOf(options, signal);
  if (!status.isReady) return;
  for (const network of status.networks) {
    const attachments = valid.filter((one) => one.network.name === network.name);
    await collectNetwork({ network, folders, signal }, attachments).catch((thrown: unknown) =>
      warn(network.name, thrown),
    );
  }
}
