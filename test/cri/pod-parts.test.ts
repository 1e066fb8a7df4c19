import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import t from "tap";
import {
  ContainerEventType,
  NamespaceMode,
  PodSandboxConfigSchema,
  Protocol,
} from "../../gen/runtime/v1/api_pb.js";
import { CriEventQueue, CriStore } from "../../src/cri/index.js";
import { resolvConfText } from "../../src/cri/pod-folders.js";
import { attachmentOf, orderedAddresses, userRanges } from "../../src/cri/pod-network.js";
import { renderNetworkTemplate, renderTemplate } from "../../src/cri/status-template.js";
import { openMetadata } from "../../src/metadata/index.js";

const config = (value: Exclude<MessageInitShape<typeof PodSandboxConfigSchema>, Message>) =>
  create(PodSandboxConfigSchema, { ...value, metadata: { name: "web", namespace: "default", uid: "u" } });

t.test("attachmentOf() tells plugins what containerd tells them", async (t) => {
  const { args, capabilities } = attachmentOf({
    id: "id1",
    config: config({
      annotations: { "kubernetes.io/ingress-bandwidth": "10M", "kubernetes.io/egress-bandwidth": "1Gi" },
      portMappings: [
        { containerPort: 80, hostPort: 8080, protocol: Protocol.UDP, hostIp: "127.0.0.1" },
        { containerPort: 81, hostPort: 0 },
      ],
      dnsConfig: { servers: ["1.1.1.1"], searches: ["a.b"], options: ["ndots:5"] },
      linux: { cgroupParent: "/kubepods/pod1" },
    }),
  });
  t.strictSame(args, {
    IgnoreUnknown: "1",
    K8S_POD_NAMESPACE: "default",
    K8S_POD_NAME: "web",
    K8S_POD_INFRA_CONTAINER_ID: "id1",
    K8S_POD_UID: "u",
  });
  t.match(capabilities, {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "udp", hostIP: "127.0.0.1" }],
    bandwidth: {
      ingressRate: 10_000_000,
      ingressBurst: 4_294_967_295,
      egressRate: 1_073_741_824,
      egressBurst: 4_294_967_295,
    },
    dns: { servers: ["1.1.1.1"], searches: ["a.b"], options: ["ndots:5"] },
    cgroupPath: "/kubepods/pod1",
  });
});

for (const [text, problem] of [
  ["1", "small"],
  ["1E", "large"],
  ["fast", "not a quantity"],
  ["-5M", "not a quantity"],
] as const) {
  t.test(`attachmentOf() refuses a bandwidth of ${text}`, async (t) => {
    const annotations = { "kubernetes.io/ingress-bandwidth": text };
    t.throws(() => attachmentOf({ id: "1", config: config({ annotations }) }), new RegExp(problem));
  });
}

t.test("orderedAddresses() puts the preferred kind first", async (t) => {
  const one = (address: string, name: string | undefined) => ({
    address,
    gateway: undefined,
    interface: name,
  });
  const addresses = [one("fd00::2/64", "eth0"), one("10.0.0.2/16", "eth0"), one("10.9.9.9/24", "net1")];
  const dns = { nameservers: [], domain: undefined, search: [], options: [] };
  const result = { interfaces: [], addresses, dns, raw: {} };
  t.strictSame(orderedAddresses(result, "ipv4"), ["10.0.0.2", "fd00::2"]);
  t.strictSame(orderedAddresses(result, "ipv6"), ["fd00::2", "10.0.0.2"]);
  t.strictSame(orderedAddresses(result, "cni"), ["fd00::2", "10.0.0.2"]);
});

t.test("userRanges() takes one mapping of each kind", async (t) => {
  const of = (usernsOptions: object) =>
    config({ linux: { securityContext: { namespaceOptions: { usernsOptions: usernsOptions as never } } } });
  const ids = [{ hostId: 100_000, containerId: 0, length: 65_536 }];
  t.strictSame(userRanges(of({ mode: NamespaceMode.POD, uids: ids, gids: ids })), {
    uids: [{ containerId: 0, hostId: 100_000, size: 65_536 }],
    gids: [{ containerId: 0, hostId: 100_000, size: 65_536 }],
  });
  t.equal(userRanges(of({ mode: NamespaceMode.NODE })), undefined);
  t.equal(userRanges(config({})), undefined);
  t.throws(() => userRanges(of({ mode: NamespaceMode.NODE, uids: ids })), { code: "INVALID_ARGUMENT" });
  t.throws(() => userRanges(of({ mode: NamespaceMode.POD, uids: ids })), { code: "INVALID_ARGUMENT" });
  t.throws(() => userRanges(of({ mode: NamespaceMode.CONTAINER, uids: ids, gids: ids })), {
    code: "INVALID_ARGUMENT",
  });
});

t.test("resolvConfText() writes what resolvers read", async (t) => {
  const { dnsConfig } = config({
    dnsConfig: { servers: ["1.1.1.1", "::1"], searches: ["a", "b"], options: ["ndots:5", "rotate"] },
  });
  t.equal(
    resolvConfText(dnsConfig!),
    "search a b\nnameserver 1.1.1.1\nnameserver ::1\noptions ndots:5 rotate\n",
  );
});

const TEMPLATE = `{"podCIDR": "{{.PodCIDR}}", "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
 "routes": [{{range $i, $route := .Routes}}{{if $i}}, {{end}}{"dst": "{{$route}}"}{{end}}]}`;

t.test("renderNetworkTemplate() writes the node's network in the words of Go's template", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cni-template-"));
  t.teardown(() => rm(folder, { recursive: true }));
  const template = join(folder, "template");
  await writeFile(template, TEMPLATE);
  await renderNetworkTemplate({ template, folder: join(folder, "net.d"), ranges: "10.1.0.0/16, fd00::/64" });
  const text = await readFile(join(folder, "net.d", "10-containerd-net.conflist"), "utf8");
  t.strictSame(JSON.parse(text), {
    podCIDR: "10.1.0.0/16",
    ranges: [[{ subnet: "10.1.0.0/16" }], [{ subnet: "fd00::/64" }]],
    routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
  });
  const refused = { template, folder, ranges: "10.1.0.0" };
  await t.rejects(renderNetworkTemplate(refused), { code: "INVALID_ARGUMENT" });
});

for (const broken of [
  "{{end}}",
  "{{if $x}}",
  "{{range $i, $x := .PodCIDR}}{{end}}",
  "{{.Else}}",
  "{{printf}}",
]) {
  t.test(`renderTemplate() refuses ${broken}`, async (t) => {
    const values = { PodCIDR: "a", PodCIDRRanges: ["a"], Routes: [] };
    t.throws(() => renderTemplate(broken, values), { code: "INVALID_ARGUMENT" });
  });
}

t.test("listen() gives events that came while nobody listened, in order, but no old ones", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cri-events-"));
  const metadata = await openMetadata({ directory: folder });
  t.teardown(async () => {
    await metadata.close();
    await rm(folder, { recursive: true });
  });
  let time = 0n;
  const now = (): bigint => time;
  const queue = new CriEventQueue({
    store: new CriStore({ metadata, now }),
    statusOf: async () => ({}),
    now,
  });
  const publish = (id: string): void =>
    queue.publish({ containerId: id, podId: "p", type: ContainerEventType.CONTAINER_STARTED_EVENT });
  publish("old");
  time = 301_000_000_000n;
  publish("kept");
  const end = new AbortController();
  await new Promise(setImmediate);
  const events = queue.listen({ signal: end.signal })[Symbol.asyncIterator]();
  t.equal((await events.next()).value.containerId, "kept");
  const next = events.next();
  publish("new");
  t.equal((await next).value.containerId, "new");
  const last = events.next();
  end.abort();
  t.equal((await last).done, true);
});
