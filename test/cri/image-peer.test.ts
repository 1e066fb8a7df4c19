import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { toJson } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import t, { type Test } from "tap";
import {
  ImageService,
  ImageStatusResponseSchema,
  ListImagesResponseSchema,
} from "../../gen/runtime/v1/api_pb.js";
import { delay } from "../../src/async/index.js";
import { grpcOverSocket } from "../../src/grpc/index.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startService } from "../../testing/rig/service.js";
import { imageRig } from "./image-rig.js";

const bin = fileURLToPath(new URL("../../../build/newer/bin", import.meta.url));
const skip = existsSync(join(bin, "containerd")) ? false : "wants scripts/fetch-newer-containerd.sh";

type Images = Client<typeof ImageService>;

/** containerd's own ImageService, on folders of its own. */
async function containerdImages(t: Test): Promise<Images> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cri-peer-"));
  t.teardown(async () => {
    await unmountBelow(folder);
    await rm(folder, { recursive: true, force: true });
  });
  const address = join(folder, "c.sock");
  const config = join(folder, "config.toml");
  const lines = [
    "version = 3",
    `root = "${folder}/root"`,
    `state = "${folder}/state"`,
    'disabled_plugins = ["io.containerd.internal.v1.opt"]',
    `[grpc]\naddress = "${address}"`,
    `[plugins."io.containerd.nri.v1.nri"]\ndisable = true`,
    `[plugins."io.containerd.cri.v1.runtime".cni]\nconf_dir = "${folder}/cni"`,
  ];
  await writeFile(config, `${lines.join("\n")}\n`);
  const service = await startService({
    program: join(bin, "containerd"),
    args: ["--config", config],
    env: { PATH: `${bin}:${process.env["PATH"]}` },
    logFile: join(folder, "log"),
    ready: address,
  });
  const connection = grpcOverSocket(address);
  t.teardown(async () => {
    connection[Symbol.dispose]();
    await service.stop();
  });
  const client = createClient(ImageService, connection.transport);
  // The socket is there before CRI is.
  for (;;) {
    const listed = await client.listImages({}).catch(ConnectError.from);
    if (!(listed instanceof ConnectError)) return client;
    if (listed.code !== Code.Unavailable && listed.code !== Code.Unknown) throw listed;
    await delay(50);
  }
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  const result = await call.catch(ConnectError.from);
  return result instanceof ConnectError ? Code[result.code]! : "fine";
}

t.test("images are told as containerd tells them, field by field", { skip }, async (t) => {
  const rig = await imageRig(t);
  const peer = await containerdImages(t);
  const made = [
    await rig.publish({ repository: "one", tags: ["1", "2"], user: "" }),
    await rig.publish({ repository: "two", user: "1002" }),
    await rig.publish({ repository: "three", user: "www-data:www" }),
  ];
  const both = [rig.client, peer];
  const digested = `${rig.server.host}/one@${made[0]!.digest}`;
  const pulls = [
    made[0]!.reference,
    made[0]!.reference.replace(/1$/, "2"),
    digested,
    made[1]!.reference,
    made[2]!.reference,
  ];
  for (const image of pulls) {
    const [own, theirs] = await Promise.all(both.map((one) => one.pullImage({ image: { image } })));
    t.equal(own!.imageRef, theirs!.imageRef, image);
  }
  const listed = async (one: Images) => {
    const { images } = await one.listImages({});
    images.sort((left, right) => (left.id < right.id ? -1 : 1));
    return toJson(ListImagesResponseSchema, { $typeName: "runtime.v1.ListImagesResponse", images });
  };
  t.same(await listed(rig.client), await listed(peer));
  const status = async (one: Images, image: string) => {
    const answer = await one.imageStatus({ image: { image }, verbose: true });
    const { info = "null" } = answer.info;
    return { ...(toJson(ImageStatusResponseSchema, answer) as object), info: JSON.parse(info) };
  };
  const id = made[0]!.id;
  for (const name of [
    ...pulls,
    id,
    id.slice(7, 30),
    id.slice(0, 30),
    digested,
    "none",
    "none:1",
    `sha256:${"0".repeat(64)}`,
  ]) {
    t.same(await status(rig.client, name), await status(peer, name), name);
  }
  for (const image of [digested, "none", "none:1", made[1]!.id]) {
    await Promise.all(both.map((one) => one.removeImage({ image: { image } })));
    t.same(await listed(rig.client), await listed(peer), `after removing ${image}`);
  }
});

t.test("requests that fail have containerd's codes, or better ones", { skip }, async (t) => {
  const rig = await imageRig(t, { registry: { auth: { kind: "basic", username: "u", password: "p" } } });
  const peer = await containerdImages(t);
  const { reference } = await rig.publish();
  const { host } = rig.server;
  const right = { username: "u", password: "p" };
  const cases = [
    {
      name: "right credentials",
      request: { image: { image: reference }, auth: right },
      codes: ["fine", "fine"],
    },
    {
      name: "unknown",
      request: { image: { image: `${host}/no:1` }, auth: right },
      codes: ["NotFound", "NotFound"],
    },
    // containerd has no code for these.
    { name: "bad reference", request: { image: { image: "A B" } }, codes: ["InvalidArgument", "Unknown"] },
    { name: "empty", request: { image: { image: "" } }, codes: ["InvalidArgument", "Unknown"] },
    {
      name: "no credentials",
      request: { image: { image: `${host}/app:v2` } },
      codes: ["Unauthenticated", "Unknown"],
    },
    {
      name: "wrong credentials",
      request: { image: { image: reference }, auth: { username: "u", password: "x" } },
      codes: ["Unauthenticated", "Unknown"],
    },
  ];
  for (const { name, request, codes } of cases) {
    t.same([await codeOf(rig.client.pullImage(request)), await codeOf(peer.pullImage(request))], codes, name);
  }
  for (const image of ["", "A B", "none"]) {
    const calls = async (one: Images) => [
      await codeOf(one.imageStatus({ image: { image } })),
      await codeOf(one.removeImage({ image: { image } })),
    ];
    t.same(await calls(rig.client), await calls(peer), JSON.stringify(image));
  }
});
