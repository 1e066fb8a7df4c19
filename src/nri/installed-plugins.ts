import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { LazuliError, resourceExhausted } from "../errors/index.js";
import { log } from "../observe/index.js";
import { type PluginName, parsePluginName, shownName } from "./plugin-name.js";

/** Plugins of one folder; those after them (by name) are not started. */
const PLUGINS_MAX = 64;
const CONFIG_BYTES_MAX = 1024 * 1024;
/** How long a plugin has to end by itself when its connection has ended. */
const END_TIMEOUT_MS = 1000;

export interface InstalledPlugin {
  readonly name: PluginName;
  readonly path: string;
  /** What is in its configuration file; empty without one. */
  readonly config: string;
}

/** Programs NN-name of a folder, in the order of their names. What is no plugin is told and left out. */
export async function installedPlugins(options: {
  readonly pluginPath: string;
  readonly configPath: string;
}): Promise<InstalledPlugin[]> {
  const { pluginPath, configPath } = options;
  const found: InstalledPlugin[] = [];
  const names = await readdir(pluginPath).catch(() => []); // Most nodes have no such folder.
  for (const file of names.sort()) {
    const path = join(pluginPath, file);
    try {
      const facts = await stat(path);
      if (!facts.isFile() || (facts.mode & 0o111) === 0) continue;
      const name = parsePluginName(file);
      if (found.length === PLUGINS_MAX) throw tooMany(pluginPath);
      found.push({ name, path, config: await configOf(configPath, name) });
    } catch (thrown) {
      log.error("An NRI plugin is not started", { path, error: LazuliError.from(thrown).message });
    }
  }
  return found;
}

function tooMany(folder: string): LazuliError {
  return resourceExhausted(`Cannot start all plugins of ${folder}: want at most ${PLUGINS_MAX}, got more`, {
    subject: folder,
    reason: "nri-too-many-plugins",
  });
}

async function configOf(folder: string, name: PluginName): Promise<string> {
  for (const file of [`${shownName(name)}.conf`, `${name.base}.conf`]) {
    const path = join(folder, file);
    const facts = await stat(path).catch(() => undefined); // Absent: the next name, or none.
    if (facts === undefined) continue;
    if (!facts.isFile() || facts.size > CONFIG_BYTES_MAX) {
      throw resourceExhausted(`Cannot read ${path}: want a file of at most ${CONFIG_BYTES_MAX} bytes`, {
        subject: path,
        reason: "nri-bad-config",
      });
    }
    return await readFile(path, "utf8");
  }
  return "";
}

export interface RunningPlugin {
  readonly stream: Duplex;
  readonly pid: number | undefined;
  /** Ends the process: it is asked, and after a second killed. */
  end(): Promise<void>;
}

/** Starts a plugin with its connection as file 3. A program that can't be started is one whose connection ends. */
export function startPlugin({ name, path }: InstalledPlugin): RunningPlugin {
  const child = spawn(path, [], {
    cwd: "/",
    env: { NRI_PLUGIN_NAME: name.base, NRI_PLUGIN_IDX: name.index, NRI_PLUGIN_SOCKET: "3" },
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const stream = child.stdio[3] as Duplex;
  child.on("error", (error) => {
    log.error("An NRI plugin could not be started", { path, error: error.message });
    stream.destroy();
  });
  child.on("exit", () => stream.destroy());
  return { stream, pid: child.pid, end: () => endOf(child) };
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), END_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}
