import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import {
  attachLease,
  ContainerTable,
  contents,
  ImageTable,
  LeaseTable,
  leaseResources,
  NamespaceTable,
  namespacedSnapshots,
  openMetadata,
  SandboxTable,
} from "../../src/metadata/index.js";

const digest = sha256(Buffer.from("a"));
const other = sha256(Buffer.from("b"));
const namespace = "default";
const target = { mediaType: "m/t", digest: digest as string, size: 5, annotations: { a: "1" } };
const tooLarge = { ["key-of-a-long-label"]: "x".repeat(4090) };
const LARGE = "label key and value greater than maximum size (4096 bytes), key: key-of-a-l";

async function tablesFor(t: { teardown: (run: () => Promise<void>) => void }) {
  const directory = await mkdtemp(join(tmpdir(), "lazuli-rules-"));
  const metadata = await openMetadata({ directory });
  t.teardown(async () => {
    await metadata.close();
    await rm(directory, { recursive: true });
  });
  let time = 1_763_700_000_123_456_789n;
  const options = { metadata, now: () => (time += 1n) };
  return {
    metadata,
    namespaces: new NamespaceTable(options),
    images: new ImageTable(options),
    leases: new LeaseTable(options),
    containers: new ContainerTable(options),
    sandboxes: new SandboxTable(options),
  };
}

t.test("NamespaceTable follows containerd's rules", async (t) => {
  const { namespaces, metadata, images, leases } = await tablesFor(t);
  t.same(namespaces.get({ namespace: "none" }), { name: "none", labels: {} });
  await namespaces.create({ namespace: "b", labels: { x: "1" } });
  await namespaces.create({ namespace: "a", labels: {} });
  const create = (name: string, labels = {}) => namespaces.create({ namespace: name, labels });
  const invalid = { code: "INVALID_ARGUMENT" };
  await t.rejects(create("b"), { code: "ALREADY_EXISTS", message: 'namespace "b"' });
  await t.rejects(create(""), { ...invalid, message: "identifier must not be empty" });
  await t.rejects(create("a/b"), {
    ...invalid,
    message: 'identifier "a/b" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$',
  });
  const long = "x".repeat(77);
  await t.rejects(create(long), {
    ...invalid,
    message: `identifier "${long}" greater than maximum length (76 characters)`,
  });
  await t.rejects(create("c", tooLarge), { ...invalid, message: `namespace.Labels: ${LARGE}` });
  t.same(
    namespaces.list().map(({ name }) => name),
    ["a", "b"],
  );
  const update = (labels: Record<string, string>, fieldPaths: string[]) =>
    namespaces.update({ namespace: "b", labels, fieldPaths });
  t.same((await update({ y: "2" }, ["labels.y"])).labels, { x: "1", y: "2" });
  t.same((await update({ y: "" }, ["labels.y"])).labels, { x: "1" });
  t.same((await update({ z: "3" }, [])).labels, { z: "3" });
  await t.rejects(update({}, ["name"]), { ...invalid, message: 'cannot update "name" field' });
  await t.rejects(namespaces.delete({ namespace: "none" }), {
    code: "NOT_FOUND",
    message: 'namespace "none"',
  });
  await images.create({ namespace: "b", name: "i", labels: {}, target });
  await leases.create({ namespace: "b", id: "l", labels: {} });
  await leases.addResource({ namespace: "b", id: "l", resource: { type: "ingests", id: "r" } });
  const times = { createdAt: 1n, updatedAt: 1n, labels: {} };
  await metadata.write((transaction) => {
    transaction.put(contents, ["b", digest], { namespace: "b", digest, size: 1, ...times });
    for (const snapshotter of ["native", "overlayfs"]) {
      const names = { namespace: "b", snapshotter, key: "k", storeKey: "s", parent: "" };
      transaction.put(namespacedSnapshots, ["b", snapshotter, "k"], { ...names, ...times });
    }
  });
  await t.rejects(namespaces.delete({ namespace: "b" }), {
    code: "FAILED_PRECONDITION",
    message:
      'namespace "b" must be empty, but it still has images, blobs, snapshots on "native" snapshotter, snapshots on "overlayfs" snapshotter',
  });
  await images.delete({ namespace: "b", name: "i" });
  await metadata.write((transaction) => {
    transaction.delete(contents, ["b", digest]);
    for (const snapshotter of ["native", "overlayfs"])
      transaction.delete(namespacedSnapshots, ["b", snapshotter, "k"]);
  });
  await namespaces.delete({ namespace: "b" });
  t.same(leases.list({ namespace: "b", filters: [] }), [], "leases go with it");
  t.same([...metadata.entries(leaseResources, ["b"])], []);
});

t.test("ImageTable follows containerd's rules", async (t) => {
  const { images, namespaces } = await tablesFor(t);
  const image = { namespace, name: "host/i:1", labels: { a: "1", none: "" }, target };
  const row = await images.create(image);
  t.same(row.labels, { a: "1" });
  t.equal(row.createdAt, 1_763_700_000_123_456_790n);
  t.same(images.get(image), row, "and reads back as it was answered");
  t.same(
    namespaces.list().map(({ name }) => name),
    [namespace],
    "the namespace came with it",
  );
  await t.rejects(images.create(image), { code: "ALREADY_EXISTS", message: 'image "host/i:1"' });
  t.throws(() => images.get({ namespace, name: "x" }), { code: "NOT_FOUND", message: 'image "x"' });
  t.throws(() => images.get({ namespace, name: "x".repeat(4000) }), { code: "NOT_FOUND" });
  const invalid = (change: object, message: string) =>
    t.rejects(images.create({ ...image, name: "new", ...change }), { code: "INVALID_ARGUMENT", message });
  await invalid({ name: "" }, "image name must not be empty");
  await invalid({ labels: tooLarge }, `image.Labels: ${LARGE}`);
  await invalid(
    { target: { ...target, digest: "" } },
    'Target.Digest "" invalid: invalid checksum digest format',
  );
  await invalid(
    { target: { ...target, digest: "sha256:ab" } },
    'Target.Digest "sha256:ab" invalid: invalid checksum digest length',
  );
  await invalid(
    { target: { ...target, digest: "md5:ab" } },
    'Target.Digest "md5:ab" invalid: unsupported digest algorithm',
  );
  await invalid({ target: { ...target, size: 0 } }, "Target.Size must be greater than zero");
  await invalid({ target: { ...target, mediaType: "" } }, "Target.MediaType must be set");
  await t.rejects(images.create({ ...image, name: "x".repeat(2000) }), {
    code: "INVALID_ARGUMENT",
    reason: "metadata-key-invalid",
  });
  const update = (change: object, fieldPaths: string[]) => images.update({ ...image, ...change, fieldPaths });
  t.same((await update({ labels: { b: "2", c: "3" } }, ["labels.b"])).labels, { a: "1", b: "2" });
  t.same((await update({ labels: {} }, ["labels.a"])).labels, { b: "2" });
  const moved = await update({ target: { ...target, digest: other, annotations: {} } }, ["target"]);
  t.same([moved.target.digest, moved.labels, moved.createdAt], [other, { b: "2" }, row.createdAt]);
  t.same((await update({}, ["annotations.a"])).target, { ...target, digest: other });
  t.same((await update({ labels: {} }, [])).target, target, "no paths: all of it");
  await t.rejects(update({}, ["name"]), {
    code: "INVALID_ARGUMENT",
    message: 'cannot update "name" field on image "host/i:1"',
  });
  await t.rejects(update({ name: "" }, []), { message: "image name is required for update" });
  await t.rejects(update({ name: "x" }, []), { code: "NOT_FOUND", message: 'image "x"' });
  await images.create({ ...image, name: "a", labels: { "x.y/z": "v" } });
  const list = (...filters: string[]) => images.list({ namespace, filters }).map(({ name }) => name);
  t.same(list(), ["a", "host/i:1"]);
  t.same(list("name==a", "target.mediatype==none"), ["a"]);
  t.same(list('labels."x.y/z"==v'), ["a"]);
  t.same(list("annotations.a==1,name~=host"), ["host/i:1"]);
  t.same(list(`target.digest==${digest}`), ["a", "host/i:1"]);
  t.same(images.list({ namespace: "empty", filters: [] }), []);
  await t.rejects(images.delete({ namespace, name: "a", target: other }), { code: "NOT_FOUND" });
  await images.delete({ namespace, name: "a", target: digest });
  await t.rejects(images.delete({ namespace, name: "a" }), { code: "NOT_FOUND", message: 'image "a"' });
});

t.test("LeaseTable follows containerd's rules", async (t) => {
  const { leases, metadata } = await tablesFor(t);
  const lease = { namespace, id: "l" };
  const row = await leases.create({ ...lease, labels: { a: "1" } });
  t.same(leases.list({ namespace, filters: ["id==l", "labels.b"] }), [row]);
  await t.rejects(leases.create({ ...lease, labels: {} }), { code: "ALREADY_EXISTS", message: 'lease "l"' });
  await t.rejects(leases.create({ namespace, id: "", labels: {} }), { message: "lease id must be provided" });
  const add = (type: string, id: string) => leases.addResource({ ...lease, resource: { type, id } });
  await add("snapshots/overlayfs", "k");
  await add("content", digest);
  await add("ingests", "r");
  const all = [
    { type: "content", id: digest },
    { type: "ingests", id: "r" },
    { type: "snapshots/overlayfs", id: "k" },
  ];
  t.same(leases.listResources(lease), all);
  const refused = { code: "INVALID_ARGUMENT" };
  await t.rejects(add("content/x", digest), { ...refused, message: "invalid resource type content/x" });
  await t.rejects(add("content", "x"), {
    ...refused,
    message: "invalid content resource id x: invalid checksum digest format",
  });
  await t.rejects(add("snapshots", "x"), { ...refused, message: "invalid snapshot resource type snapshots" });
  await t.rejects(add("tasks", "x"), {
    code: "UNIMPLEMENTED",
    message: "resource type tasks not supported yet",
  });
  await leases.deleteResource({ ...lease, resource: { type: "ingests", id: "r" } });
  await leases.deleteResource({ ...lease, resource: { type: "ingests", id: "r" } });
  t.equal(leases.listResources(lease).length, 2);
  const gone = { namespace, lease: "none", resource: { type: "ingests", id: "r" } };
  await t.rejects(
    metadata.write((transaction) => attachLease(transaction, gone)),
    { code: "NOT_FOUND", message: "lease does not exist" },
  );
  await metadata.write((transaction) => attachLease(transaction, { ...gone, lease: "l" }));
  t.same(leases.listResources(lease), all);
  await leases.delete(lease);
  for (const call of [leases.delete(lease), add("ingests", "r")]) {
    await t.rejects(call, { code: "NOT_FOUND", message: 'lease "l"' });
  }
  t.throws(() => leases.listResources(lease), { code: "NOT_FOUND", message: 'lease "l"' });
  t.same([...metadata.entries(leaseResources, [])], []);
});

const any = { typeUrl: "type", value: new Uint8Array([0, 255, 10]) };
const workload = {
  namespace,
  id: "c",
  labels: { a: "1" },
  runtime: { name: "runc", options: any },
  spec: any,
  extensions: { e: any },
};

t.test("ContainerTable follows containerd's rules", async (t) => {
  const { containers } = await tablesFor(t);
  const container = { ...workload, image: "i", snapshotter: "overlayfs", snapshotKey: "k", sandboxId: "" };
  await t.rejects(containers.delete(container), {
    message: 'cannot delete container "c" in namespace "default"',
  });
  const row = await containers.create(container);
  t.same(containers.get(container), row);
  await t.rejects(containers.create(container), { code: "ALREADY_EXISTS", message: 'container "c"' });
  t.throws(() => containers.get({ namespace, id: "x" }), {
    code: "NOT_FOUND",
    message: 'container "x" in namespace "default"',
  });
  const invalid = (change: object, message: string) =>
    t.rejects(containers.create({ ...container, ...change }), {
      code: "INVALID_ARGUMENT",
      message: `create container failed validation: ${message}`,
    });
  await invalid({ id: "" }, "container.ID: identifier must not be empty");
  await invalid({ extensions: { "": any } }, "container.Extension keys must not be zero-length");
  await invalid({ labels: tooLarge }, `containers.Labels: ${LARGE}`);
  await invalid({ runtime: { name: "", options: undefined } }, "container.Runtime.Name must be set");
  await invalid({ spec: undefined }, "container.Spec must be set");
  await invalid({ snapshotter: "" }, "container.Snapshotter must be set if container.SnapshotKey is set");
  const update = (change: object, fieldPaths: string[]) =>
    containers.update({ ...container, ...change, fieldPaths });
  const renamed = await update({ image: "j", snapshotKey: "k2", labels: {} }, ["image", "labels.b"]);
  t.same([renamed.image, renamed.snapshotKey, renamed.labels], ["j", "k", { a: "1" }]);
  const replaced = await update({ labels: { z: "1" }, extensions: {} }, []);
  t.same([replaced.labels, replaced.extensions, replaced.image], [{ z: "1" }, {}, "i"]);
  t.same((await update({}, ["extensions.e"])).extensions, { e: any });
  await t.rejects(update({ snapshotter: "x" }, []), { message: "container.Snapshotter field is immutable" });
  await t.rejects(update({ runtime: { name: "x", options: undefined } }, []), {
    message: "container.Runtime.Name field is immutable",
  });
  await t.rejects(update({}, ["runtime"]), { message: 'cannot update "runtime" field on "c"' });
  await t.rejects(update({ id: "x" }, []), { code: "NOT_FOUND", message: 'container "x"' });
  const list = (...filters: string[]) => containers.list({ namespace, filters }).map(({ id }) => id);
  t.same(list("runtime.name==runc,image==i"), ["c"]);
  t.same(list("labels.none"), []);
  await containers.delete(container);
  await t.rejects(containers.delete(container), { code: "NOT_FOUND", message: "container c" });
});

t.test("SandboxTable keeps sandboxes", async (t) => {
  const { sandboxes } = await tablesFor(t);
  const sandbox = { ...workload, sandboxer: "shim" };
  const row = await sandboxes.create(sandbox);
  t.same(sandboxes.get(sandbox), row);
  await t.rejects(sandboxes.create(sandbox), { code: "ALREADY_EXISTS" });
  await t.rejects(sandboxes.create({ ...sandbox, id: "a b" }), { code: "INVALID_ARGUMENT" });
  const updated = await sandboxes.update({ ...sandbox, labels: { b: "2" }, fieldPaths: ["labels.b"] });
  t.same(updated.labels, { a: "1", b: "2" });
  const runtime = { name: "kata", options: undefined };
  await t.rejects(sandboxes.update({ ...sandbox, runtime, fieldPaths: [] }), {
    code: "INVALID_ARGUMENT",
    reason: "field-immutable",
  });
  t.same((await sandboxes.update({ ...sandbox, runtime, fieldPaths: ["runtime"] })).runtime, runtime);
  await t.rejects(sandboxes.update({ ...sandbox, fieldPaths: ["sandboxer"] }), { code: "INVALID_ARGUMENT" });
  t.same(sandboxes.list({ namespace, filters: ["sandboxer==shim"] }).length, 1);
  await sandboxes.delete(sandbox);
  t.throws(() => sandboxes.get(sandbox), { code: "NOT_FOUND" });
  await t.rejects(sandboxes.delete(sandbox), { code: "NOT_FOUND" });
});
