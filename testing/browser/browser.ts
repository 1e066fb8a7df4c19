import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { delay } from "../../src/async/index.js";
import { Connection } from "./connection.js";
import { Page } from "./page.js";

const READY_TRIES = 400;
const READY_PAUSE_MS = 50;

export interface Browser extends AsyncDisposable {
  open(url: string): Promise<Page>;
}

/** Undefined: it is not installed; `bash scripts/setup-bench.sh` does that. */
export function chromiumPath(): string | undefined {
  return ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
    existsSync(path),
  );
}

/** Starts Chromium on a profile of its own, which is gone afterwards. */
export async function openBrowser(program = chromiumPath()): Promise<Browser> {
  if (program === undefined)
    throw new Error("Chromium is not installed: bash scripts/setup-bench.sh does that");
  const folder = await mkdtemp(join(tmpdir(), "lazuli-browser-"));
  const words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
  const child = spawn(
    program,
    [...words, "--disable-background-networking", "--remote-debugging-port=0", `--user-data-dir=${folder}`],
    { stdio: "ignore", detached: true },
  );
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const close = async (): Promise<void> => {
    endGroup(child);
    await ended;
    await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  };
  try {
    const socket = new WebSocket(await debuggerUrl(folder), {
      perMessageDeflate: false,
      maxPayload: 256 << 20,
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("open", () => resolve());
      socket.once("error", reject);
    });
    const connection = new Connection(socket);
    return {
      open: async (url) => await Page.open(connection, url),
      [Symbol.asyncDispose]: async () => {
        socket.terminate();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Chromium's helpers are of its process group: none is left behind. */
function endGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  process.kill(-pid, "SIGKILL");
}

/** Chromium writes its port and path into its profile when it listens. */
async function debuggerUrl(folder: string): Promise<string> {
  for (let attempt = 0; attempt < READY_TRIES; attempt += 1) {
    const text = await readFile(join(folder, "DevToolsActivePort"), "utf8").catch(() => ""); // Not there yet.
    const [port, path] = text.split("\n");
    if (port && path) return `ws://127.0.0.1:${port}${path}`;
    await delay(READY_PAUSE_MS);
  }
  throw new Error("Chromium did not open its debugging socket");
}
