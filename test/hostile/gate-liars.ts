import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ServiceImpl } from "@connectrpc/connect";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.js";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { type ContentStore, proxyContentStore } from "../../src/content/index.js";
import type { ErrorCode } from "../../src/errors/index.js";
import { serveGrpc } from "../../src/services/index.js";
import { createProxySnapshotter, type ProxySnapshotter } from "../../src/snapshotters/index.js";
import type { GateCase } from "./gate-case.js";

export type ContentImpl = Partial<ServiceImpl<typeof Content>>;
export type SnapshotsImpl = Partial<ServiceImpl<typeof Snapshots>>;

/** Longest wait for an answer that does not come. */
const CALL_TIMEOUT_MS = 500;
/** One that comes must not fail for a slow machine. */
const PATIENT_TIMEOUT_MS = 60_000;

/** Serves on a socket while `use` runs. */
async function onSocket<Result>(
  route: Parameters<typeof serveGrpc>[0]["routes"][number],
  use: (socketPath: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-liar-"));
  const socketPath = join(folder, "s");
  const server = await serveGrpc({ socketPath, mode: 0o600, routes: [route], closeTimeoutMs: 1 });
  try {
    return await use(socketPath);
  } finally {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

export async function withContent(
  impl: ContentImpl,
  act: (store: ContentStore) => Promise<unknown>,
  callTimeoutMs: number,
): Promise<unknown> {
  return await onSocket(
    (router) => void router.service(Content, impl),
    async (socketPath) => {
      const options = { socketPath, namespace: "gate", callTimeoutMs };
      await using store = proxyContentStore(options);
      return await act(store);
    },
  );
}

export async function withSnapshots(
  impl: SnapshotsImpl,
  act: (snapshotter: ProxySnapshotter) => Promise<unknown>,
  callTimeoutMs: number,
): Promise<unknown> {
  return await onSocket(
    (router) => void router.service(Snapshots, impl),
    async (address) => {
      const snapshotter = createProxySnapshotter({ address, name: "liar", callTimeoutMs });
      try {
        return await act(snapshotter);
      } finally {
        await snapshotter.close();
      }
    },
  );
}

export type Wanted = readonly [code: ErrorCode, reason: string] | { readonly value: unknown };
export type Row<Impl, Act> = readonly [name: string, impl: Impl, act: Act, wanted: Wanted];

export function casesOf<Impl, Act>(
  group: string,
  run: (impl: Impl, act: Act, callTimeoutMs: number) => Promise<unknown>,
  rows: readonly Row<Impl, Act>[],
): GateCase[] {
  return rows.map(([name, impl, act, wanted]) => ({
    group,
    name,
    run: () =>
      run(
        impl,
        act,
        "value" in wanted || wanted[0] !== "DEADLINE_EXCEEDED" ? PATIENT_TIMEOUT_MS : CALL_TIMEOUT_MS,
      ),
    wanted: "value" in wanted ? wanted : { code: wanted[0], reason: wanted[1] },
  }));
}
