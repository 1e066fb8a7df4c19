import { randomBytes } from "node:crypto";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { folderVerifier } from "../../src/transfer/index.js";
import { tarOf } from "../../testing/transfer/small-image.js";
import { accessTo, forever, linux, publish, transferRig, wish } from "./transfer-rig.js";

const tars = [tarOf({ "a.bin": randomBytes(200_000) }), tarOf({ "b.bin": randomBytes(50_000) })];
const blobs = tars.map((tar) => gzipSync(tar));
const layers = tars.map((tar, index) => ({ tar, blob: blobs[index]! }));
const digests = blobs.map((blob) => sha256(blob));
const unpacks = [{ platform: linux, snapshotter: "" }];

t.test("pull() names the image, keeps its parts by labels and tells what it does", async (t) => {
  const rig = await transferRig(t);
  const { reference, digest } = await publish(rig, layers);
  const store = wish({ name: reference, labels: { own: "label" }, unpacks });
  const pulled = await rig.transferrer.pull(rig.call, { access: accessTo(reference), store });
  t.equal(pulled.digest, digest);
  const image = rig.images.get({ namespace: "default", name: reference });
  t.equal(image.target.digest, digest);
  t.same(image.labels, { own: "label" });
  const { labels } = await rig.content.info(digest);
  t.match(labels, {
    "containerd.io/distribution.source.127.0.0.1": "app",
    "containerd.io/gc.ref.content.l.0": digests[0],
    "containerd.io/gc.ref.content.l.1": digests[1],
  });
  const config = await rig.content.info(labels["containerd.io/gc.ref.content.config"] as typeof digest);
  t.match(config.labels, { "containerd.io/gc.ref.snapshot.lazy": /^sha256:/ });
  t.equal((await rig.content.info(digests[0]!)).labels["containerd.io/uncompressed"], sha256(tars[0]!));
  t.equal(rig.snapshots.committed.size, 2);
  t.same(await rig.leftovers(), { leases: [], active: [], images: [reference] });
  const told = rig.events.filter(({ event }) => !["waiting", "downloading"].includes(event));
  t.equal(told[0]?.event, `Resolving from OCI Registry (${reference})`);
  t.equal(told[1]?.event, `Pulling from OCI Registry (${reference})`);
  t.match(told[2], { event: "fetching image content", name: reference });
  const names = told.map(({ event, name }) => `${event} ${name ?? ""}`);
  t.ok(names.includes(`complete layer-${digests[0]}`) && names.includes(`extracted layer-${digests[1]}`));
  t.ok(names.indexOf(`saved ${reference}`) > 0);
  await rig.transferrer.pull(rig.call, { access: accessTo(reference), store });
  t.ok(
    rig.events.some(({ event }) => event === "already exists"),
    "the second time all is there",
  );
});

t.test("pull() downloads no layer that can be lazy, but what can't be", async (t) => {
  const rig = await transferRig(t);
  const { reference, digest } = await publish(rig, layers);
  rig.snapshots.lazy.add(digests[0]!);
  await rig.transferrer.pull(rig.call, {
    access: accessTo(reference),
    store: wish({ name: reference, unpacks }),
  });
  await t.rejects(rig.content.info(digests[0]!), { code: "NOT_FOUND" });
  t.equal((await rig.content.info(digests[1]!)).size, blobs[1]!.length);
  t.match(rig.snapshots.labels[0], {
    "containerd.io/snapshot/cri.image-ref": reference,
    "containerd.io/snapshot/cri.manifest-digest": digest,
    "containerd.io/snapshot/cri.layer-digest": digests[0],
    "containerd.io/snapshot/cri.image-layers": digests.join(","),
    "containerd.io/snapshot/diff-id": sha256(tars[0]!),
  });
});

t.test("pull() with lazy always refuses a layer that can't be, with never asks for none", async (t) => {
  const always = await transferRig(t, { parts: { lazy: "always" } });
  const { reference } = await publish(always, layers);
  always.snapshots.lazy.add(digests[0]!);
  const request = { access: accessTo(reference), store: wish({ name: reference, unpacks }) };
  await t.rejects(always.transferrer.pull(always.call, request), {
    code: "FAILED_PRECONDITION",
    message: `Cannot pull lazily: layer ${digests[1]} can't be lazy: no-toc-digest`,
  });
  t.same(await always.leftovers(), { leases: [], active: [], images: [] });

  const never = await transferRig(t, { parts: { lazy: "never" } });
  const other = await publish(never, layers);
  never.snapshots.lazy.add(digests[0]!);
  await never.transferrer.pull(never.call, {
    access: accessTo(other.reference),
    store: wish({ name: other.reference, unpacks }),
  });
  t.equal((await never.content.info(digests[0]!)).size, blobs[0]!.length);
  t.notOk("containerd.io/snapshot.ref" in never.snapshots.labels[0]!);
});

t.test("pull() downloads what only its client can reach, or refuses it where all must be lazy", async (t) => {
  for (const lazy of ["auto", "always"] as const) {
    const rig = await transferRig(t, { parts: { lazy } });
    const { reference } = await publish(rig, layers);
    for (const digest of digests) rig.snapshots.lazy.add(digest);
    const access = accessTo(reference, { hostsFolder: join(rig.folder, "hosts") });
    const pulled = rig.transferrer.pull(rig.call, { access, store: wish({ name: reference, unpacks }) });
    if (lazy === "always") {
      await t.rejects(pulled, {
        code: "FAILED_PRECONDITION",
        message: /can only be reached with what this client/,
      });
      continue;
    }
    await pulled;
    t.equal((await rig.content.info(digests[0]!)).size, blobs[0]!.length);
    t.notOk(
      "containerd.io/snapshot.ref" in rig.snapshots.labels[0]!,
      "the snapshotter is not asked to find it",
    );
  }
});

t.test("pull() goes on with what an earlier one has brought", async (t) => {
  const rig = await transferRig(t);
  const { reference } = await publish(rig, layers);
  const lease = await rig.leases.create({ namespace: "default", id: "held", labels: {} });
  const call = { ...rig.call, lease: lease.id };
  const request = { access: accessTo(reference), store: wish({ name: reference }) };
  const path = new RegExp(digests[0]!);
  rig.server.script({ path, times: 1, act: { cutAfter: 100_000 } });
  rig.server.script({ path, act: { status: 503 } });
  await t.rejects(rig.transferrer.pull(call, request), { code: "UNAVAILABLE" });
  t.same(await rig.ingests(), [`layer-${digests[0]}`]);
  const { offset } = await rig.content.status(`layer-${digests[0]}`);
  t.ok(offset >= 100_000, "what came is kept");
  rig.server.clearScript();
  const before = rig.server.log.length;
  await rig.transferrer.pull(call, request);
  const asked = rig.server.log.slice(before).find((one) => path.test(one.path));
  t.match(String(asked?.range), `bytes=${offset}-`);
  t.same(await rig.ingests(), []);
});

t.test("pull() fails clearly and leaves nothing", async (t) => {
  const cases = [
    {
      name: "wrong bytes",
      act: { flipByte: 5000 },
      error: { message: /^failed commit on ref "layer-sha256:/ },
    },
    { name: "missing blob", act: { status: 404, body: "" }, error: { code: "NOT_FOUND" } },
    { name: "dead registry", act: { cutAfter: -1 }, error: { code: "UNAVAILABLE" } },
    { name: "forbidden", act: { status: 403, body: "" }, error: { code: "PERMISSION_DENIED" } },
  ];
  for (const { name, act, error } of cases) {
    const rig = await transferRig(t);
    const { reference } = await publish(rig, layers);
    rig.server.script({ path: new RegExp(digests[0]!), act });
    const request = { access: accessTo(reference), store: wish({ name: reference, unpacks }) };
    await t.rejects(rig.transferrer.pull(rig.call, request), error, name);
    t.same(await rig.leftovers(), { leases: [], active: [], images: [] }, name);
    if (name === "wrong bytes") t.same(await rig.ingests(), [], "wrong bytes are not kept");
  }
});

t.test("pull() tells what is wrong with a name as containerd does", async (t) => {
  const rig = await transferRig(t);
  const { host } = rig.server;
  const pull = async (reference: string): Promise<unknown> =>
    await rig.transferrer.pull(rig.call, { access: accessTo(reference), store: wish({ name: reference }) });
  const missing = `${host}/none:x`;
  await t.rejects(pull(missing), { code: "NOT_FOUND", message: `failed to resolve image: ${missing}` });
  await t.rejects(pull(`${host}/app`), { message: "failed to resolve image: object required" });
  await t.rejects(pull("/app:v1"), { message: "failed to resolve image: hostname required" });
  await t.rejects(pull("http://x/y:z"), { message: "failed to resolve image: invalid reference" });
  await t.rejects(pull("host/Upper:v1"), { code: "INVALID_ARGUMENT" });
  t.same(await rig.leftovers(), { leases: [], active: [], images: [] });
});

t.test("pull() of one image by many at once downloads it once", async (t) => {
  const rig = await transferRig(t);
  const { reference } = await publish(rig, layers);
  const pull = async (): Promise<unknown> =>
    await rig.transferrer.pull(rig.call, {
      access: accessTo(reference),
      store: wish({ name: reference, unpacks }),
    });
  await Promise.all([pull(), pull(), pull()]);
  const asked = rig.server.log.filter(({ path }) => path.includes(digests[0]!));
  t.equal(asked.length, 1);
  t.same(await rig.leftovers(), { leases: [], active: [], images: [reference] });
});

t.test("pull() refuses to unpack with what is not there", async (t) => {
  const rig = await transferRig(t);
  const { reference } = await publish(rig, layers);
  for (const wished of [
    { platform: linux, snapshotter: "none" },
    { platform: { os: "plan9", architecture: "mips" }, snapshotter: "lazy" },
  ]) {
    const store = wish({ name: reference, unpacks: [wished] });
    await t.rejects(rig.transferrer.pull(rig.call, { access: accessTo(reference), store }), {
      message: "unable to initialize unpacker: no unpack platforms defined",
    });
    const both = wish({ name: reference, unpacks: [wished, ...unpacks] });
    await rig.transferrer.pull(rig.call, { access: accessTo(reference), store: both });
    t.equal(rig.snapshots.committed.size, 2, "the one that can be met counts");
    rig.snapshots.committed.clear();
  }
});

t.test("pull() ends with its caller", async (t) => {
  const rig = await transferRig(t);
  const { reference } = await publish(rig, layers);
  rig.server.script({ path: new RegExp(digests[0]!), act: { stallAfter: 1000 } });
  const ended = new AbortController();
  const call = {
    ...rig.call,
    signal: ended.signal,
    report: ({ event, name }: { event: string; name?: string }): void => {
      if (event === "waiting" && name === `layer-${digests[0]}`) setImmediate(() => ended.abort());
    },
  };
  const request = { access: accessTo(reference), store: wish({ name: reference, unpacks }) };
  await t.rejects(rig.transferrer.pull(call, request), { name: "AbortError" });
  t.same(await rig.leftovers(), { leases: [], active: [], images: [] });
});

t.test("pull() asks programs of a folder, and takes no image that one refuses", async (t) => {
  const rig = await transferRig(t);
  const { reference, digest } = await publish(rig, layers);
  const folder = join(rig.folder, "verifiers");
  const program = async (name: string, text: string): Promise<void> => {
    await writeFile(join(folder, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(folder, name), 0o755);
  };
  const verifier = (programTimeoutMs = 10_000) =>
    folderVerifier({ folder, programsMax: 2, programTimeoutMs });
  const descriptor = { mediaType: "m/t", digest, size: 5, annotations: {}, platform: undefined };
  const judge = async (timeoutMs?: number) =>
    await verifier(timeoutMs).judge({ name: reference, descriptor, signal: forever });
  t.match(await judge(), { isAccepted: true, reason: /does not exist/ });
  await mkdir(folder);
  t.match(await judge(), { isAccepted: true, reason: /no image verifier binaries found/ });
  await program("1-words", 'cat; echo " $@"; echo aside >&2');
  await program("2-quiet", "head -c 100000 /dev/zero | tr '\\0' x");
  await program("3-beyond", "exit 9");
  const all = await judge();
  t.ok(all.isAccepted, "a third is not asked");
  t.match(all.reason, `"digest":"${digest}"`);
  t.match(
    all.reason,
    `-name ${reference} -digest ${digest} -stdin-media-type application/vnd.oci.descriptor.v1+json`,
  );
  t.match(all.reason, /x\(stdout truncated\)$/);
  await program("2-quiet", "echo no; exit 3");
  t.same(await judge(), { isAccepted: false, reason: "verifier 2-quiet rejected image (exit code 3): no" });
  await program("2-quiet", "sleep 60");
  await t.rejects(judge(50), { code: "DEADLINE_EXCEEDED" });
  await writeFile(join(folder, "2-quiet"), "no program");
  await chmod(join(folder, "2-quiet"), 0o644);
  await t.rejects(judge(), { message: /^failed to call verifier 2-quiet/ });

  const blocked = await transferRig(t, {
    parts: { verifier: { judge: async () => ({ isAccepted: false, reason: "because" }) } },
  });
  const other = await publish(blocked, layers);
  const request = { access: accessTo(other.reference), store: wish({ name: other.reference }) };
  await t.rejects(blocked.transferrer.pull(blocked.call, request), {
    message: `image verifier bindir blocked pull of ${other.reference} with digest ${other.digest} for reason: because`,
  });
  t.notOk(
    blocked.server.log.some((one) => one.path.includes("/blobs/")),
    "nothing was downloaded",
  );
});

t.test("pull() sends headers and credentials of its client, and leaves others without", async (t) => {
  const rig = await transferRig(t, { registry: { auth: { kind: "basic", username: "u", password: "p" } } });
  const { reference } = await publish(rig, layers);
  const store = wish({ name: reference, unpacks });
  await t.rejects(rig.transferrer.pull(rig.call, { access: accessTo(reference), store }), {
    code: "UNAUTHENTICATED",
    message: /^failed to resolve image: /,
  });
  const asked: string[] = [];
  const credentials = {
    name: "test",
    find: async ({ host }: { host: string }) => {
      asked.push(host);
      return { kind: "password", username: "u", password: "p" } as const;
    },
  };
  const access = accessTo(reference, { credentials });
  await rig.transferrer.pull(rig.call, { access, store });
  t.same(new Set(asked), new Set([rig.server.host]));
  const query = { host: rig.server.host, repository: "app" };
  t.match(await rig.shared.find(query), { username: "u" }, "lazy layers may use it");
  t.equal(await rig.shared.find({ ...query, repository: "other" }), undefined);
  const headed = accessTo(reference, { credentials, headers: { "X-Own": "yes" } });
  rig.snapshots.lazy.add(digests[0]!);
  await rig.transferrer.pull(rig.call, { access: headed, store });
  t.match(rig.server.log.at(-1)?.wire, /x-own\nyes/i);
});
