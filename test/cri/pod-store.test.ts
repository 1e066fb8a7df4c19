import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import t, { type Test } from "tap";
import { ContainerConfigSchema, PodSandboxConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import { type CriContainer, CriStore, type PodRecord } from "../../src/cri/index.js";
import { openMetadata } from "../../src/metadata/index.js";

const now = (): bigint => 1_700_000_000_000_000_000n;

async function openStore(t: Test): Promise<{ store: CriStore; reopened: () => Promise<CriStore> }> {
  const directory = await mkdtemp(join(tmpdir(), "lazuli-cri-store-"));
  let metadata = await openMetadata({ directory });
  t.teardown(async () => {
    await metadata.close();
    await rm(directory, { recursive: true, force: true });
  });
  return {
    store: new CriStore({ metadata, now }),
    reopened: async () => {
      await metadata.close();
      metadata = await openMetadata({ directory });
      return new CriStore({ metadata, now });
    },
  };
}

function record(id: string, change: Partial<PodRecord> = {}): PodRecord {
  return {
    id,
    name: `web_default_${id}_0`,
    config: create(PodSandboxConfigSchema, { metadata: { name: "web", uid: "u", namespace: "default" } }),
    runtimeHandler: "",
    sandboxer: "podsandbox",
    createdAt: now(),
    netns: "/run/netns/cni-1",
    userns: undefined,
    addresses: ["10.0.0.2"],
    cniResult: { ips: [] },
    updated: undefined,
    processLabel: "",
    isStopped: false,
    ...change,
  };
}

const row = {
  sandboxer: "podsandbox",
  runtime: { name: "io.containerd.runc.v2", options: undefined },
  spec: undefined,
  labels: {},
};

function container(id: string, podId: string): CriContainer {
  return {
    record: {
      id,
      name: `main_${id}`,
      podId,
      config: create(ContainerConfigSchema, { metadata: { name: "main" }, command: ["sleep", "1"] }),
      imageId: "sha256:1",
      imageReference: "busybox",
      logPath: "",
      stopSignal: "SIGTERM",
      createdAt: now(),
      processLabel: "",
    },
    state: "created",
    pid: 0,
    startedAt: 0n,
    finishedAt: 0n,
    exitCode: 0,
    reason: "",
    message: "",
  };
}

t.test("reserve() lets one id have a name", async (t) => {
  const { store } = await openStore(t);
  store.pods.reserve({ name: "a", id: "1" });
  store.pods.reserve({ name: "a", id: "1" });
  t.throws(() => store.pods.reserve({ name: "a", id: "2" }), { code: "ALREADY_EXISTS" });
  store.pods.release({ name: "a", id: "2" });
  t.throws(() => store.pods.reserve({ name: "a", id: "2" }), { code: "ALREADY_EXISTS" });
  store.pods.release({ name: "a", id: "1" });
  store.pods.reserve({ name: "a", id: "2" });
});

t.test("get() takes a prefix that one id alone begins with", async (t) => {
  const { store } = await openStore(t);
  store.pods.put({ record: record("abc1"), state: "ready", pid: 1, address: "" });
  store.pods.put({ record: record("abd1"), state: "ready", pid: 2, address: "" });
  t.equal(store.pods.get("abc").pid, 1);
  t.equal(store.pods.get("abd1").pid, 2);
  t.throws(() => store.pods.get("ab"), { code: "INVALID_ARGUMENT", reason: "cri-id-ambiguous" });
  t.throws(() => store.pods.get("x"), { code: "NOT_FOUND" });
  t.throws(() => store.pods.get(""), { code: "NOT_FOUND" });
});

t.test("stored() gives after a restart what was saved", async (t) => {
  const { store, reopened } = await openStore(t);
  await store.pods.create(record("p1", { netns: undefined }), row);
  await store.pods.save(record("p1"), row);
  await store.pods.create(record("p2", { userns: "/run/userns" }), row);
  await store.pods.remove("p2");
  await store.pods.remove("p2");
  await store.containers.add(container("c1", "p1"), {
    image: "busybox",
    runtime: row.runtime,
    spec: { typeUrl: "spec", value: Buffer.from("{}") },
    snapshotter: "overlayfs",
    snapshotKey: "c1",
    labels: {},
  });
  await store.containers.update("c1", { state: "exited", exitCode: 3, finishedAt: 5n, reason: "Error" });

  const later = await reopened();
  const damaged: string[] = [];
  const pods = later.pods.stored((id) => damaged.push(id));
  t.strictSame(
    pods.map((one) => one.record),
    [record("p1")],
  );
  const containers = later.containers.stored((id) => damaged.push(id));
  t.equal(containers.length, 1);
  t.strictSame(containers[0]?.record, container("c1", "p1").record);
  t.match(containers[0]?.status, {
    state: "exited",
    exitCode: 3,
    finishedAt: 5n,
    startedAt: 0n,
    reason: "Error",
  });
  t.strictSame(damaged, []);
  t.strictSame(later.pods.list(), [], "nothing is shown before recovery");
});

t.test("stored() tells of records that can't be read", async (t) => {
  const { store } = await openStore(t);
  await store.pods.create({ ...record("p1"), createdAt: "x" as unknown as bigint }, row);
  const damaged: string[] = [];
  const pods = store.pods.stored((id, { code }) => damaged.push(`${id} ${code}`));
  t.strictSame(pods, []);
  t.strictSame(damaged, ["p1 DATA_LOSS"]);
});
