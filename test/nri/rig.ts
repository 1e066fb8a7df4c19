import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Test } from "tap";
import { openDeviceRegistry } from "../../src/cdi/index.js";
import { type Nri, type NriOptions, type NriSideEffects, openNri } from "../../src/nri/index.js";
import { connectPlugin, type PluginHandlers, type TestPlugin } from "./test-plugin.js";

export interface NriRig {
  readonly nri: Nri;
  readonly folder: string;
  readonly socketPath: string;
  /** What plugins asked for by themselves. */
  readonly requests: (NriSideEffects & { readonly plugin: string })[];
  /** Connects a plugin and waits until it gets events. */
  plugin(name: string, handlers: PluginHandlers): Promise<TestPlugin>;
}

/** NRI in a folder of its own, with `cdi`, `plugins` and `conf.d` in it. */
export async function nriRig(
  t: Test,
  options: Partial<NriOptions> & { readonly prepare?: (folder: string) => Promise<void> } = {},
): Promise<NriRig> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-nri-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  for (const name of ["cdi", "plugins", "conf.d"]) await mkdir(join(folder, name));
  const { prepare, ...rest } = options;
  await prepare?.(folder);
  const socketPath = join(folder, "run", "nri.sock");
  const requests: (NriSideEffects & { readonly plugin: string })[] = [];
  const nri = await openNri({
    runtimeName: "lazuli",
    runtimeVersion: "v0",
    socketPath,
    pluginPath: join(folder, "plugins"),
    pluginConfigPath: join(folder, "conf.d"),
    registrationTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    devices: openDeviceRegistry({ folders: [join(folder, "cdi")] }),
    currentState: async () => ({ pods: [], containers: [] }),
    onRequest: async (request) => {
      requests.push(request);
      return [];
    },
    ...rest,
  });
  t.teardown(() => nri.close());
  const plugin = async (name: string, handlers: PluginHandlers): Promise<TestPlugin> => {
    const known = nri.plugins.length;
    const connected = await connectPlugin({ socketPath, name, handlers });
    await until(() => nri.plugins.length > known);
    return connected;
  };
  return { nri, folder, socketPath, requests, plugin };
}

/** Waits for what another part of this process or a child does; the test's own limit ends it. */
export async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setTimeout(resolve, 2));
}
