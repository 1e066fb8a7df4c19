import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import t from "tap";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.js";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { Namespaces } from "../../gen/containerd/services/namespaces/v1/namespace_pb.js";
import { tracingSettings } from "../../src/daemon/tracing-settings.js";
import { deprecatedChannel, type LogRecord, logChannel } from "../../src/observe/index.js";
import { checkCgroup, Deprecations } from "../../src/settings/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";
import { socketTransport } from "../../testing/snapshotter-suite/index.js";

const headers = { "containerd-namespace": "default" };
const traceId = "0af7651916cd43dd8448eb211c80319c";
const parentSpanId = "b7ad6b7169203331";

async function pageOf(socketPath: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    request({ socketPath, path: "/metrics" }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve(body));
    })
      .on("error", reject)
      .end();
  });
}

interface Span {
  readonly traceId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly status: { readonly code?: number };
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
}

t.test("lazuli daemon counts its calls and sends their traces", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-observed-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  const bodies: { url: string; token: string; body: string }[] = [];
  const receiver = createServer((incoming, response) => {
    let body = "";
    incoming.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    incoming.on("end", () => {
      bodies.push({ url: incoming.url ?? "", token: String(incoming.headers["x-token"]), body });
      response.end("{}");
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  cleanup.add(() => {
    receiver.closeAllConnections();
    receiver.close();
  });
  const { port } = receiver.address() as AddressInfo;
  const metrics = join(folder, "metrics.sock");
  const daemon = await startDaemon({
    folder,
    config: `[metrics]\naddress = "${metrics}"\n`,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}/`,
      OTEL_EXPORTER_OTLP_HEADERS: "x-token=a%20b",
      OTEL_SERVICE_NAME: "node-1",
    },
  });
  cleanup.add(() => daemon.stop());
  const transport = socketTransport(daemon.address);
  const traced = { headers: { ...headers, traceparent: `00-${traceId}-${parentSpanId}-01` } };
  await createClient(Namespaces, transport).list({}, traced);
  const unsampled = { headers: { ...headers, traceparent: `00-${traceId}-${parentSpanId}-00` } };
  await createClient(Introspection, transport).server({}, unsampled);
  await t.rejects(createClient(Content, transport).info({ digest: `sha256:${"0".repeat(64)}` }, { headers }));
  for await (const _page of createClient(Content, transport).list({}, { headers })) t.pass("a page");
  const page = await pageOf(metrics);
  const labels = (service: string, method: string, kind: string): string =>
    `grpc_service="containerd.services.${service}",grpc_method="${method}",grpc_type="${kind}"`;
  const namespaces = "namespaces.v1.Namespaces";
  const lines = page.split("\n");
  for (const line of [
    `grpc_server_started_total{${labels(namespaces, "List", "unary")}} 1`,
    `grpc_server_handled_total{${labels(namespaces, "List", "unary")},grpc_code="OK"} 1`,
    `grpc_server_handled_total{${labels("content.v1.Content", "Info", "unary")},grpc_code="NotFound"} 1`,
    `grpc_server_handled_total{${labels("content.v1.Content", "List", "server_stream")},grpc_code="OK"} 1`,
    `grpc_server_handling_seconds_count{${labels(namespaces, "List", "unary")}} 1`,
  ]) {
    t.ok(lines.includes(line), line);
  }
  await daemon.stop();
  t.strictSame([...new Set(bodies.map(({ url, token }) => `${url} ${token}`))], ["/v1/traces a b"]);
  const [resource] = JSON.parse(bodies[0]!.body).resourceSpans;
  t.match(resource.resource.attributes, [
    { key: "host.name" },
    { key: "process.pid" },
    { key: "service.name" },
  ]);
  const spans: Span[] = bodies.flatMap(({ body }) => JSON.parse(body).resourceSpans[0].scopeSpans[0].spans);
  const named = (name: string): Span | undefined => spans.find((span) => span.name.endsWith(name));
  t.match(named("Namespaces/List"), { traceId, parentSpanId, status: {} });
  t.match(named("Content/Info"), { status: { code: 2 }, parentSpanId: undefined });
  t.ok(named("Content/List"), "a stream is a span");
  t.equal(named("Introspection/Server"), undefined, "its caller keeps no trace");
});

t.test("tracingSettings() reads the variables of OpenTelemetry", async (t) => {
  t.equal(tracingSettings({}), undefined);
  t.equal(
    tracingSettings({ OTEL_TRACES_EXPORTER: "none", OTEL_EXPORTER_OTLP_ENDPOINT: "http://a" }),
    undefined,
  );
  t.equal(tracingSettings({ OTEL_SDK_DISABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "http://a" }), undefined);
  t.equal(
    tracingSettings({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc", OTEL_EXPORTER_OTLP_ENDPOINT: "http://a" }),
    undefined,
  );
  t.match(tracingSettings({ OTEL_TRACES_EXPORTER: "otlp" }), {
    url: "http://localhost:4318/v1/traces",
    ratio: 1,
    followsParent: true,
    timeoutMs: 10_000,
  });
  t.match(
    tracingSettings({
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://otel.example/x",
      OTEL_EXPORTER_OTLP_HEADERS: "a=1, b=%zz",
      OTEL_RESOURCE_ATTRIBUTES: "zone=eu",
      OTEL_TRACES_SAMPLER: "traceidratio",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
    }),
    {
      url: "https://otel.example/x",
      headers: { a: "1", b: "%zz" },
      resource: { zone: "eu", "service.name": "lazuli" },
      ratio: 0.25,
      followsParent: false,
    },
  );
  t.match(tracingSettings({ OTEL_TRACES_EXPORTER: "otlp", OTEL_TRACES_SAMPLER: "always_off" }), {
    ratio: 0,
    followsParent: false,
  });
});

t.test("tracingSettings() says that JSON is sent where protobuf is asked for", async (t) => {
  const records: LogRecord[] = [];
  using _log = logChannel.subscribe((record) => records.push(record));
  const wanted = { OTEL_TRACES_EXPORTER: "otlp" };
  for (const protocol of [undefined, "http/json", "http/protobuf"]) {
    t.ok(tracingSettings({ ...wanted, OTEL_EXPORTER_OTLP_PROTOCOL: protocol }));
  }
  t.match(records, [{ level: "warn", message: /^Traces are sent as http\/json, not as http\/protobuf/ }]);
  t.equal(records.length, 1);
});

t.test("Deprecations keep the last use of what will go", async (t) => {
  let now = 0n;
  using deprecations = new Deprecations({ now: () => ++now });
  t.strictSame(deprecations.list(), []);
  deprecatedChannel.publish({ name: "nri-v010-plugin" });
  checkCgroup("/nowhere");
  checkCgroup("/");
  deprecatedChannel.publish({ name: "nri-v010-plugin" });
  t.match(deprecations.list(), [
    { id: "io.containerd.deprecation/cgroup-v1", lastOccurrence: 2n },
    { id: "io.containerd.deprecation/nri-v010-plugin", lastOccurrence: 3n },
  ]);
  deprecations[Symbol.dispose]();
  deprecatedChannel.publish({ name: "nri-plugin-interface" });
  t.equal(deprecations.list().length, 2);
});
