/**
 * The link as a process of its own:
 *
 *     node dist/testing/link/main.js --target 127.0.0.1:5000 --listen 5001 --rtt-ms 20 --mbit 400
 *
 * Prints its port and, when it ends, the bytes that passed, one JSON object a line.
 */
import { parseArgs } from "node:util";
import { startLink } from "../../src/bench/link/index.js";

const { values } = parseArgs({
  options: {
    target: { type: "string" },
    listen: { type: "string", default: "0" },
    "rtt-ms": { type: "string", default: "20" },
    mbit: { type: "string", default: "400" },
  },
});

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || (name === "mbit" && value === 0))
    throw new Error(`Cannot read --${name}: want a number, got "${text}"`);
  return value;
}

const target = /^(?:(.*):)?(\d+)$/.exec(values.target ?? "");
if (target === null) throw new Error("Cannot start the link: --target host:port is missing");
const link = await startLink({
  target: { host: target[1] ?? "127.0.0.1", port: Number(target[2]) },
  port: numberOf("listen", values.listen),
  rttMs: numberOf("rtt-ms", values["rtt-ms"]),
  bitsPerSecond: numberOf("mbit", values.mbit) * 1e6,
});
process.stdout.write(`${JSON.stringify({ port: link.port })}\n`);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    process.stdout.write(`${JSON.stringify({ bytesDown: link.bytesDown, bytesUp: link.bytesUp })}\n`);
    void link.stop().then(() => process.exit(0));
  });
}
