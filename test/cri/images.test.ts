import { Code, ConnectError } from "@connectrpc/connect";
import t from "tap";
import { CRI_NAMESPACE } from "../../src/cri/index.js";
import { imageRig } from "./image-rig.js";

const namespace = CRI_NAMESPACE;

t.test("pull() gives an image its three names and labels, and finds it by each of them", async (t) => {
  const rig = await imageRig(t);
  const { reference, id, digest, sizeBytes } = await rig.publish();
  const { imageRef } = await rig.client.pullImage({ image: { image: reference } });
  t.equal(imageRef, id);
  const digested = `${rig.server.host}/app@${digest}`;
  t.same(rig.names(), [reference, digested, id].sort());
  for (const name of rig.names()) {
    t.same(rig.table.get({ namespace, name }).labels, { "io.cri-containerd.image": "managed" }, name);
  }
  const { images } = await rig.client.listImages({});
  t.equal(images.length, 1);
  t.match(images[0], {
    id,
    repoTags: [reference],
    repoDigests: [digested],
    size: BigInt(sizeBytes),
    uid: { value: 1002n },
    username: "",
    pinned: false,
  });
  for (const name of [reference, digested, id, id.slice(7, 19), id.slice(0, 20), `${reference}@${digest}`]) {
    const { image } = await rig.client.imageStatus({ image: { image: name } });
    t.equal(image?.id, id, name);
  }
  const found = await rig.images.find(reference);
  t.match(found, { recordName: reference, config: { user: "1002:7", env: ["A=1"] } });
  t.ok(rig.snapshots.committed.has(found!.chainId), "it is unpacked");
  t.same(
    rig.published.map(({ topic }) => topic),
    ["/images/create", "/images/create"],
    "the transfer tells of the first name itself",
  );
});

t.test("pull() again changes nothing, and moves a tag to what it stands for now", async (t) => {
  const rig = await imageRig(t);
  const first = await rig.publish({ seed: "one" });
  const image = { image: first.reference };
  await rig.client.pullImage({ image });
  const told = rig.published.length;
  t.equal((await rig.client.pullImage({ image })).imageRef, first.id);
  t.equal(rig.published.length, told, "nobody is told of what is the same");
  const second = await rig.publish({ seed: "two" });
  t.equal((await rig.client.pullImage({ image })).imageRef, second.id);
  const { images } = await rig.client.listImages({});
  const tags = Object.fromEntries(images.map(({ id, repoTags }) => [id, repoTags]));
  t.same(tags, { [first.id]: [], [second.id]: [first.reference] });
  t.equal((await rig.images.find(first.reference))?.id, second.id);
});

t.test("pull() unpacks into the snapshotter of the runtime handler", async (t) => {
  const rig = await imageRig(t);
  const { reference } = await rig.publish();
  await rig.client.pullImage({ image: { image: reference, runtimeHandler: "kata" } });
  t.same([rig.snapshots.committed.size, rig.others.committed.size], [0, 1]);
  const annotations = { "io.containerd.cri.runtime-handler": "runc" };
  await rig.client.pullImage({ image: { image: reference }, sandboxConfig: { annotations } });
  t.equal(rig.snapshots.committed.size, 1, "a handler without one of its own has the default");
  t.equal(rig.images.snapshotterOf("kata"), "other");
});

t.test("pull() leaves a layer that can be lazy where it is", async (t) => {
  const rig = await imageRig(t);
  const { reference, layer, sizeBytes } = await rig.publish();
  rig.snapshots.lazy.add(layer);
  await rig.client.pullImage({ image: { image: reference } });
  await t.rejects(rig.content.info(layer), { code: "NOT_FOUND" });
  const { image } = await rig.client.imageStatus({ image: { image: reference } });
  t.equal(image?.size, BigInt(sizeBytes), "the size counts layers that are not here");
});

t.test("pull() of one image by many is one pull, which goes on when one of them leaves", async (t) => {
  const rig = await imageRig(t);
  const { reference, layer } = await rig.publish();
  rig.server.script({ path: new RegExp(layer), act: { delayMs: 100 } });
  const left = new AbortController();
  const image = { image: reference };
  const pulls = Array.from({ length: 8 }, () => rig.client.pullImage({ image }));
  const leaver = rig.client.pullImage({ image }, { signal: left.signal });
  setTimeout(() => left.abort(), 20);
  await t.rejects(leaver, { code: Code.Canceled });
  const refs = await Promise.all(pulls);
  t.equal(new Set(refs.map(({ imageRef }) => imageRef)).size, 1);
  t.equal(rig.server.log.filter(({ path }) => path.includes(layer)).length, 1);
});

t.test("pull() ends with DEADLINE_EXCEEDED when the caller's time is over", async (t) => {
  const rig = await imageRig(t);
  const { reference } = await rig.publish();
  rig.server.script({ act: { stallAfter: -1 } });
  const pull = rig.client.pullImage({ image: { image: reference } }, { timeoutMs: 50 });
  await t.rejects(pull, { code: Code.DeadlineExceeded });
  rig.server.clearScript();
  await rig.client.pullImage({ image: { image: reference } });
  t.equal((await rig.client.listImages({})).images.length, 1, "the next one is not held up");
});

t.test("pull() fails when no byte comes for the progress timeout", async (t) => {
  const rig = await imageRig(t, { images: { progressTimeoutMs: 200 } });
  const { reference, layer } = await rig.publish();
  rig.server.script({ path: new RegExp(layer), act: { stallAfter: 1000 } });
  const thrown = await rig.client.pullImage({ image: { image: reference } }).catch(ConnectError.from);
  t.match(thrown, { code: Code.DeadlineExceeded, rawMessage: /no byte came for 0.2 s/ });
  t.same(rig.names(), []);
});

t.test("remove() by any name takes all names of the image, and collects what they held", async (t) => {
  const rig = await imageRig(t);
  const { id, digest } = await rig.publish({ tags: ["1", "2", "3"], repository: "many" });
  const tags = ["1", "2", "3"].map((tag) => `${rig.server.host}/many:${tag}`);
  const digested = `${rig.server.host}/many@${digest}`;
  for (const by of [tags[1]!, digested, id, id.slice(7, 20)]) {
    for (const image of tags) await rig.client.pullImage({ image: { image } });
    const { image } = await rig.client.imageStatus({ image: { image: id } });
    t.same([image?.repoTags, image?.repoDigests], [tags, [digested]]);
    const before = rig.collections.count;
    await rig.client.removeImage({ image: { image: by } });
    t.same(rig.names(), [], by);
    t.equal(rig.collections.count, before + 1);
    t.same((await rig.client.listImages({})).images, [], "gone from the list at once");
    for (const name of [...tags, id]) {
      t.equal((await rig.client.imageStatus({ image: { image: name } })).image, undefined);
    }
  }
  const deleted = rig.published.filter(({ topic }) => topic === "/images/delete");
  t.equal(deleted.length, 20, "five names, four times");
});

t.test("remove() of the same image from two registries takes both names", async (t) => {
  const rig = await imageRig(t);
  const first = await rig.publish({ seed: "same", repository: "one/pause" });
  await rig.client.pullImage({ image: { image: first.reference } });
  const row = rig.table.get({ namespace, name: first.reference });
  await rig.table.create({ ...row, name: "k8s.gcr.io/pause:3.9" });
  const { image } = await rig.client.imageStatus({ image: { image: first.id } });
  t.same(image?.repoTags, [first.reference, "k8s.gcr.io/pause:3.9"].sort());
  await rig.client.removeImage({ image: { image: first.reference } });
  t.equal((await rig.client.imageStatus({ image: { image: "k8s.gcr.io/pause:3.9" } })).image, undefined);
});

t.test("list() shows at once what others do to the images of the namespace", async (t) => {
  const rig = await imageRig(t);
  const { reference, id } = await rig.publish();
  await rig.client.pullImage({ image: { image: reference } });
  const { target } = rig.table.get({ namespace, name: reference });
  await rig.table.create({ namespace, name: "other.example/x:1", labels: {}, target });
  t.match((await rig.client.listImages({})).images, [{ repoTags: [reference, "other.example/x:1"].sort() }]);
  await rig.table.delete({ namespace, name: "other.example/x:1" });
  t.same((await rig.client.listImages({})).images[0]?.repoTags, [reference]);
  const nowhere = { ...target, digest: `sha256:${"0".repeat(64)}` };
  await rig.table.create({ namespace, name: "broken.example/x:1", labels: {}, target: nowhere });
  t.equal((await rig.client.listImages({})).images.length, 1, "an image without content is left out");
  await rig.table.update({ namespace, name: "broken.example/x:1", labels: {}, target, fieldPaths: [] });
  t.equal((await rig.images.find("broken.example/x:1"))?.id, id);
  await rig.table.create({ namespace: "default", name: "not.ours/x:1", labels: {}, target });
  t.equal(await rig.images.find("not.ours/x:1"), undefined, "other namespaces are not CRI's");
});

t.test("list() and streamImages() of 1,000 names read no image twice", async (t) => {
  const rig = await imageRig(t);
  const { reference } = await rig.publish();
  await rig.client.pullImage({ image: { image: reference } });
  const { target } = rig.table.get({ namespace, name: reference });
  const bytes = await rig.content.open(target.digest);
  const manifest = Buffer.from(await bytes.read(0, bytes.size)).toString();
  await bytes.close();
  const { config } = JSON.parse(manifest);
  const blob = await rig.content.open(config.digest);
  const text = Buffer.from(await blob.read(0, blob.size)).toString();
  await blob.close();
  const put = async (body: string) => {
    const data = Buffer.from(body);
    const writer = await rig.content.writer({
      ref: body.slice(-40),
      expected: undefined,
      total: data.length,
    });
    await writer.write(data);
    const digest = await writer.commit({ size: data.length, expected: undefined, labels: {} });
    return { digest, size: data.length };
  };
  const names = [];
  for (let number = 0; number < 100; number += 1) {
    const own = await put(`${text}${" ".repeat(number + 1)}`);
    const made = await put(JSON.stringify({ ...JSON.parse(manifest), config: { ...config, ...own } }));
    for (let tag = 0; tag < 10; tag += 1) {
      const name = `many.example/image-${number}:${tag}`;
      names.push(rig.table.create({ namespace, name, labels: {}, target: { ...target, ...made } }));
    }
  }
  await Promise.all(names);
  t.equal((await rig.client.listImages({})).images.length, 101);
  const first = await rig.images.list();
  t.equal((await rig.images.list())[50], first[50], "the same objects are told again");
  const sizes = [];
  for await (const { images } of rig.client.streamImages({})) sizes.push(images.length);
  t.same(sizes, [100, 1]);
  const filter = { image: { image: "many.example/image-7:3" } };
  t.equal((await rig.client.listImages({ filter })).images[0]?.repoTags?.length, 10);
  const starts = first.map(({ id }) => id[7]!);
  const common = starts.find((start, at) => starts.indexOf(start) !== at)!;
  t.equal(await rig.images.find(common), undefined, "a prefix of several ids is nobody's");
});

t.test("pinned images are told as such, by config or by label", async (t) => {
  const rig = await imageRig(t);
  const { reference } = await rig.publish();
  const pinning = await imageRig(t, { images: { pinned: [`${"docker.io/library/pause"}:3`] } });
  await rig.client.pullImage({ image: { image: reference } });
  t.equal((await rig.client.imageStatus({ image: { image: reference } })).image?.pinned, false);
  const row = rig.table.get({ namespace, name: reference });
  const labels = { "io.cri-containerd.pinned": "pinned" };
  await rig.table.update({ ...row, labels, fieldPaths: ["labels.io.cri-containerd.pinned"] });
  t.equal((await rig.client.imageStatus({ image: { image: reference } })).image?.pinned, true);
  const made = await pinning.publish();
  await pinning.client.pullImage({ image: { image: made.reference } });
  const { target } = pinning.table.get({ namespace, name: made.reference });
  await pinning.table.create({ namespace, name: "docker.io/library/pause:3", labels: {}, target });
  t.equal((await pinning.client.imageStatus({ image: { image: "pause:3" } })).image?.pinned, true);
});

t.test(
  "imageStatus() tells the user as a number or as a name, and the config to those who ask",
  async (t) => {
    const rig = await imageRig(t);
    const users = {
      "": {},
      "0": { uid: 0n },
      "www-data:www": { username: "www-data" },
      "1003:1004": { uid: 1003n },
    };
    for (const [user, { uid, username = "" }] of Object.entries<{ uid?: bigint; username?: string }>(users)) {
      const { reference } = await rig.publish({ user, seed: `user-${user}` });
      await rig.client.pullImage({ image: { image: reference } });
      const { image, info } = await rig.client.imageStatus({ image: { image: reference } });
      t.same([image?.uid?.value, image?.username, info], [uid, username, {}], JSON.stringify(user));
    }
    const { reference } = await rig.publish({ seed: "verbose" });
    await rig.client.pullImage({ image: { image: reference } });
    const { info } = await rig.client.imageStatus({ image: { image: reference }, verbose: true });
    const found = await rig.images.find(reference);
    t.match(JSON.parse(info.info!), {
      chainID: found!.chainId,
      imageSpec: {
        architecture: "amd64",
        os: "linux",
        config: { User: "1002:7" },
        rootfs: { type: "layers" },
      },
    });
  },
);

t.test("pull() lets go of the compressed layers where it is asked to, and does without them", async (t) => {
  const rig = await imageRig(t, { images: { discardsUnpackedLayers: true } });
  const { reference, id, digest, layer } = await rig.publish();
  const kept = async () => Object.values((await rig.content.info(digest)).labels);
  await rig.client.pullImage({ image: { image: reference } });
  t.same(
    (await kept()).filter((value) => value === layer || value === id),
    [id],
  );
  await rig.content.delete(layer);
  t.equal((await rig.client.pullImage({ image: { image: reference } })).imageRef, id);
  await t.rejects(rig.content.info(layer), { code: "NOT_FOUND" }, "what is unpacked is not fetched again");
  t.same(
    (await kept()).filter((value) => value === layer || value === id),
    [id],
  );
});
