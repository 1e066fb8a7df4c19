import type { CallScope, ObservedCall } from "../services/index.js";
import type { Metrics } from "./metrics.js";

/** Seconds: most answers come from memory, an unpack takes minutes. */
const CALL_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300];

/** Counts calls under the names that gRPC servers of Go export, which dashboards of containerd know. */
export function callMetrics(metrics: Metrics): (call: ObservedCall) => CallScope {
  const labels = ["grpc_service", "grpc_method", "grpc_type"];
  const started = metrics.counter({
    name: "grpc_server_started_total",
    help: "Calls that began.",
    labels,
  });
  const handled = metrics.counter({
    name: "grpc_server_handled_total",
    help: "Calls that ended, by the code of their answer.",
    labels: [...labels, "grpc_code"],
  });
  const seconds = metrics.histogram({
    name: "grpc_server_handling_seconds",
    help: "Time of calls from their first byte to the last; a stream takes as long as it is open.",
    labels,
    buckets: CALL_BUCKETS,
  });
  return ({ service, method, kind }) => {
    const values = [service, method, kind];
    const startedAt = performance.now();
    started.add(values);
    return {
      run: (work) => work(),
      end: (code) => {
        handled.add([...values, code]);
        seconds.observe(values, (performance.now() - startedAt) / 1000);
      },
    };
  };
}
