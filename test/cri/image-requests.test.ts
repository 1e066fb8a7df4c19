import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import t from "tap";
import { AuthConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import { sha256 } from "../../src/bytes/index.js";
import { credentialProvider, requestCredential, sharingKey } from "../../src/cri/image-credential.js";
import { knownReference, normalReference, recordNames, shownNames } from "../../src/cri/image-reference.js";
import { CRI_NAMESPACE } from "../../src/cri/index.js";
import { mediaTypes } from "../../src/oci/index.js";
import { type MadeManifest, SmallImages, tarOf } from "../../testing/transfer/small-image.js";
import { imageRig } from "./image-rig.js";

const digest = sha256(Buffer.from("an image"));
const auth = { kind: "basic", username: "user", password: "pass-word-1" } as const;
const good = { username: auth.username, password: auth.password };

t.test("pull() takes each kind of credential that a kubelet gives", async (t) => {
  const rig = await imageRig(t, { registry: { auth } });
  const { reference, id } = await rig.publish();
  const encoded = Buffer.from(`${auth.username}:${auth.password}`).toString("base64");
  const { host } = rig.server;
  for (const given of [
    good,
    { auth: encoded },
    { ...good, serverAddress: host },
    { ...good, serverAddress: `http://${host}/v2/` },
  ]) {
    await rig.client.removeImage({ image: { image: reference } });
    t.equal((await rig.client.pullImage({ image: { image: reference }, auth: given })).imageRef, id);
  }
  const tokens = await imageRig(t, { registry: { auth: { kind: "token", identityToken: "refresh-1" } } });
  const made = await tokens.publish();
  const pulled = await tokens.client.pullImage({
    image: { image: made.reference },
    auth: { identityToken: "refresh-1" },
  });
  t.equal(pulled.imageRef, made.id);
});

t.test(
  "pull() with wrong, missing or another server's credentials is refused and tells no secret",
  async (t) => {
    const rig = await imageRig(t, { registry: { auth } });
    const { reference } = await rig.publish();
    const wrong = { username: "user", password: "not-the-password" };
    for (const given of [
      undefined,
      wrong,
      { ...good, serverAddress: "registry.example" },
      { registryToken: "x" },
    ]) {
      const request = { image: { image: reference }, ...(given === undefined ? {} : { auth: given }) };
      const thrown = await rig.client.pullImage(request).catch(ConnectError.from);
      t.match(thrown, { code: Code.Unauthenticated }, JSON.stringify(given));
      t.notMatch(String((thrown as ConnectError).rawMessage), /not-the-password|pass-word-1/);
    }
    t.same(rig.names(), []);
    const cut = await rig.client
      .pullImage({ image: { image: reference }, auth: { auth: "bm8tY29sb24=" } })
      .catch(ConnectError.from);
    t.match(cut, { code: Code.InvalidArgument });
    t.notMatch(String((cut as ConnectError).rawMessage), /no-colon|bm8t/);
  },
);

t.test(
  "pull() keeps the credential for lazy layers and takes the newest; what is here needs none",
  async (t) => {
    const rig = await imageRig(t, { registry: { auth } });
    const { reference, layer, id } = await rig.publish();
    rig.snapshots.lazy.add(layer);
    const query = { host: rig.server.host, repository: "app" };
    await rig.client.pullImage({ image: { image: reference }, auth: good });
    t.same(await rig.shared.find(query), { kind: "password", ...good });
    const encoded = Buffer.from(`${auth.username}:${auth.password}`).toString("base64");
    await rig.shared.note(reference, { kind: "registry-token", registryToken: "old" });
    await rig.client.pullImage({ image: { image: reference }, auth: { auth: encoded } });
    t.match(await rig.shared.find(query), { kind: "password" }, "refreshed by a pull that brought nothing");
    await rig.server.stop();
    t.equal((await rig.client.imageStatus({ image: { image: reference } })).image?.id, id);
  },
);

t.test("pull() shares its work only with those who may do the same", async (t) => {
  const rig = await imageRig(t, { registry: { auth } });
  const { reference } = await rig.publish();
  rig.server.script({ act: { delayMs: 20 } });
  const image = { image: reference };
  const [mine, others] = await Promise.allSettled([
    rig.client.pullImage({ image, auth: good }),
    rig.client.pullImage({ image, auth: { username: "user", password: "guess" } }),
  ]);
  t.equal(mine.status, "fulfilled");
  t.equal(others.status, "rejected", "nobody pulls with another's credential");
  t.not(sharingKey(good, ""), sharingKey({ ...good, password: "guess" }, ""));
  t.not(sharingKey(good, ""), sharingKey(good, "registry.example"));
});

t.test("bad references are refused by pulls, and name no image otherwise", async (t) => {
  const rig = await imageRig(t);
  const { reference } = await rig.publish();
  await rig.client.pullImage({ image: { image: reference } });
  const bad = [
    "",
    " ",
    "gcr.io/UPPER/case:1",
    "a b",
    "http://registry.example/x",
    "x:",
    "x@sha256:short",
    "../../etc/passwd",
    "x\0y",
    "a".repeat(5000),
    `${"a/".repeat(200)}x`,
    "a".repeat(64),
    "ïmage:1",
  ];
  for (const image of bad) {
    const thrown = await rig.client.pullImage({ image: { image } }).catch(ConnectError.from);
    t.match(thrown, { code: Code.InvalidArgument }, `pull of ${image.slice(0, 30)}`);
    t.equal((await rig.client.imageStatus({ image: { image } })).image, undefined);
    await rig.client.removeImage({ image: { image } });
  }
  t.equal((await rig.client.listImages({})).images.length, 1, "nothing was removed");
  t.match(await rig.client.pullImage({}).catch(ConnectError.from), { code: Code.InvalidArgument });
  t.equal((await rig.client.imageStatus({})).image, undefined);
  await rig.client.removeImage({});
});

t.test("unknown images and registries that fail are told with their code", async (t) => {
  const rig = await imageRig(t);
  const { host } = rig.server;
  const image = `${host}/nowhere:1`;
  const missing = await rig.client.pullImage({ image: { image } }).catch(ConnectError.from);
  t.match(missing, { code: Code.NotFound, rawMessage: /failed to pull and unpack image ".*nowhere:1": / });
  t.equal((await rig.client.imageStatus({ image: { image } })).image, undefined);
  await rig.client.removeImage({ image: { image } });
  await rig.client.removeImage({ image: { image: digest } });
  rig.server.script({ act: { status: 503 } });
  const down = await rig.client.pullImage({ image: { image } }).catch(ConnectError.from);
  t.match(down, { code: Code.Unavailable });
});

t.test("normalReference() fills in Docker's defaults and leaves no tag beside a digest", async (t) => {
  t.equal(normalReference("busybox"), "docker.io/library/busybox:latest");
  t.equal(normalReference("me/app:2"), "docker.io/me/app:2");
  t.equal(normalReference(`gcr.io/x/y:1@${digest}`), `gcr.io/x/y@${digest}`);
  t.throws(() => normalReference("Not An Image"), { code: "INVALID_ARGUMENT" });
  t.equal(knownReference(digest), digest);
  t.equal(knownReference("not an image"), undefined);
  t.same(recordNames("gcr.io/x/y:1", digest), ["gcr.io/x/y:1", `gcr.io/x/y@${digest}`]);
  t.same(recordNames(`gcr.io/x/y@${digest}`, digest), [`gcr.io/x/y@${digest}`]);
  t.same(shownNames([digest, "b.io/x:2", "a.io/x:1", `a.io/x@${digest}`, "odd name", "b.io/x:2"]), {
    repoTags: ["a.io/x:1", "b.io/x:2"],
    repoDigests: [`a.io/x@${digest}`],
  });
});

t.test("requestCredential() reads what a request gives in containerd's order", async (t) => {
  const of = (fields: object) => requestCredential(create(AuthConfigSchema, fields));
  t.equal(requestCredential(undefined), undefined);
  t.equal(of({}), undefined);
  t.same(of({ ...good, identityToken: "t" }), good);
  t.same(of({ identityToken: "t", auth: "x" }), { identityToken: "t" });
  t.same(of({ auth: Buffer.from("a:b:c\0\0").toString("base64") }), { username: "a", password: "b:c" });
  t.same(of({ registryToken: "r" }), { registryToken: "r" });
  for (const bad of ["%%%", "YQ==", "A".repeat(100_000)]) {
    t.throws(() => of({ auth: bad }), { code: "INVALID_ARGUMENT", reason: "auth-invalid" });
  }
  const hub = credentialProvider(good, "https://index.docker.io/v1/");
  const query = { repository: "x", fresh: false };
  t.same(await hub.find({ ...query, host: "docker.io" }), { kind: "password", ...good });
  t.equal(await hub.find({ ...query, host: "mirror.example" }), undefined);
  const any = credentialProvider({ registryToken: "r" }, "");
  t.same(await any.find({ ...query, host: "mirror.example" }), {
    kind: "registry-token",
    registryToken: "r",
  });
});

t.test("pull() of what can't run on this machine leaves no image", async (t) => {
  const rig = await imageRig(t);
  const { host } = rig.server;
  const layout = join(rig.folder, "odd");
  const made = new SmallImages(layout);
  const put = async (tag: string, root: MadeManifest): Promise<string> => {
    const bytes = await readFile(join(layout, "blobs", "sha256", root.digest.slice("sha256:".length)));
    await made.name(tag, root);
    await rig.server.addLayout({ folder: layout, repository: "odd" });
    rig.server.addManifest({ repository: "odd", tag, bytes, mediaType: root.mediaType });
    return `${host}/odd:${tag}`;
  };
  const chart = await made.blob(Buffer.from("not a layer"));
  const config = await made.json("application/vnd.cncf.helm.config.v1+json", { name: "chart" });
  const artifact = await put(
    "artifact",
    await made.json(mediaTypes.ociManifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [{ mediaType: "application/vnd.cncf.helm.chart.content.v1.tar+gzip", ...chart }],
    }),
  );
  const foreign = await made.image([{ tar: tarOf({ a: "1" }) }], { architecture: "s390x" });
  const elsewhere = await put(
    "elsewhere",
    await made.json(mediaTypes.ociIndex, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ ...foreign, platform: { os: "linux", architecture: "s390x" } }],
    }),
  );
  for (const [image, code] of [
    [artifact, Code.InvalidArgument],
    [elsewhere, Code.NotFound],
  ] as const) {
    const thrown = await rig.client.pullImage({ image: { image } }).catch(ConnectError.from);
    t.match(thrown, { code, rawMessage: /^failed to pull and unpack image/ }, image);
    t.same(rig.names(), []);
  }
});

t.test("remove() while the image is pulled leaves all of its names or none", async (t) => {
  const rig = await imageRig(t);
  const { reference } = await rig.publish();
  const image = { image: reference };
  for (let round = 0; round < 20; round += 1) {
    const pulled = rig.client.pullImage({ image }).catch(ConnectError.from);
    await new Promise((resolve) => setTimeout(resolve, round));
    await rig.client.removeImage({ image });
    const result = await pulled;
    if (result instanceof ConnectError) t.match(result, { code: Code.Aborted });
    t.ok([0, 3].includes(rig.names().length), rig.names().join(" "));
    await rig.client.removeImage({ image });
    t.same(rig.names(), []);
  }
});

t.test("remove() takes the name of an image that can't be read", async (t) => {
  const rig = await imageRig(t);
  const target = { mediaType: mediaTypes.ociManifest, digest, size: 7, annotations: {} };
  const name = "docker.io/library/broken:latest";
  await rig.table.create({ namespace: CRI_NAMESPACE, name, labels: {}, target });
  t.same((await rig.client.listImages({})).images, []);
  await rig.client.removeImage({ image: { image: "broken" } });
  t.same(rig.names(), []);
});
