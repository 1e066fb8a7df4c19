import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { Metrics, SERIES_MAX } from "../../src/daemon/metrics.js";
import { serveMetrics } from "../../src/daemon/metrics-server.js";

t.test("Metrics.text() writes the Prometheus format", async (t) => {
  const metrics = new Metrics();
  const calls = metrics.counter({ name: "lazuli_calls_total", help: "Calls.", labels: ["method", "code"] });
  calls.add(["Prepare", "OK"]);
  calls.add(["Prepare", "OK"], 2);
  calls.add(['a"b\\c\nd', "OK"]);
  const seconds = metrics.histogram({ name: "lazuli_call_seconds", help: "Time.", buckets: [0.1, 1] });
  seconds.observe([], 0.05);
  seconds.observe([], 0.5);
  seconds.observe([], 5);
  metrics.watch({ name: "lazuli_layers", help: "Layers.", type: "gauge", read: () => [{ value: 3 }] });
  t.equal(
    metrics.text(),
    [
      "# HELP lazuli_calls_total Calls.",
      "# TYPE lazuli_calls_total counter",
      'lazuli_calls_total{method="Prepare",code="OK"} 3',
      'lazuli_calls_total{method="a\\"b\\\\c\\nd",code="OK"} 1',
      "# HELP lazuli_call_seconds Time.",
      "# TYPE lazuli_call_seconds histogram",
      'lazuli_call_seconds_bucket{le="0.1"} 1',
      'lazuli_call_seconds_bucket{le="1"} 2',
      'lazuli_call_seconds_bucket{le="+Inf"} 3',
      "lazuli_call_seconds_sum 5.55",
      "lazuli_call_seconds_count 3",
      "# HELP lazuli_layers Layers.",
      "# TYPE lazuli_layers gauge",
      "lazuli_layers 3",
      "",
    ].join("\n"),
  );
});

t.test("Metrics counts under other when a metric has too many series", async (t) => {
  const metrics = new Metrics();
  const counter = metrics.counter({ name: "lazuli_x_total", help: "X.", labels: ["host"] });
  for (let index = 0; index < SERIES_MAX + 10; index += 1) counter.add([`host-${index}`]);
  const lines = metrics.text().split("\n");
  t.ok(lines.includes('lazuli_x_total{host="other"} 10'));
  t.equal(lines.filter((line) => line.startsWith("lazuli_x_total{")).length, SERIES_MAX + 1);
});

function get(options: {
  socketPath: string;
  path: string;
  method?: string;
}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    request(options, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on("error", reject)
      .end();
  });
}

t.test("serveMetrics() answers scrapes and probes on a Unix socket", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-metrics-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const socketPath = join(folder, "metrics.sock");
  const metrics = new Metrics();
  metrics.counter({ name: "lazuli_x_total", help: "X." }).add([]);
  let isReady = false;
  {
    await using _server = await serveMetrics({ address: socketPath, metrics, isReady: () => isReady });
    t.match(await get({ socketPath, path: "/metrics" }), { status: 200, body: /lazuli_x_total 1/ });
    t.match(await get({ socketPath, path: "/healthz" }), { status: 503 });
    isReady = true;
    t.match(await get({ socketPath, path: "/healthz" }), { status: 200 });
    t.match(await get({ socketPath, path: "/" }), { status: 404 });
    t.match(await get({ socketPath, path: "/metrics", method: "POST" }), { status: 405 });
  }
  await t.rejects(get({ socketPath, path: "/metrics" }), "nobody listens after the end");
});

t.test("serveMetrics() keeps a file that is no socket, and tells a port that is taken", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-metrics-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "file");
  await writeFile(file, "mine");
  const metrics = new Metrics();
  const isReady = (): boolean => true;
  await t.rejects(serveMetrics({ address: file, metrics, isReady }), {
    code: "FAILED_PRECONDITION",
    reason: "socket-path-taken",
  });
  const missing = join(folder, "no", "folder");
  await t.rejects(serveMetrics({ address: missing, metrics, isReady }), {
    code: "UNAVAILABLE",
    reason: "metrics-listen",
  });
});
