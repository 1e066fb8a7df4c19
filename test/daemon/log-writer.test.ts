import t from "tap";
import { writeLogs } from "../../src/daemon/log-writer.js";
import { log } from "../../src/observe/index.js";

function linesOf(format: "json" | "text", level: "debug" | "warn", work: () => void): string[] {
  const lines: string[] = [];
  using _writer = writeLogs({ format, level, write: (line) => lines.push(line), now: () => 0 });
  work();
  return lines;
}

t.test("writeLogs() writes one JSON object a line, from its level up", async (t) => {
  const lines = linesOf("json", "warn", () => {
    log.info("not seen");
    log.warn("Something\nodd", { layer: "sha256:1", bytes: 12n, huge: 2n ** 60n, ok: true, none: undefined });
  });
  t.equal(lines.length, 1);
  t.equal(lines[0]!.indexOf("\n"), lines[0]!.length - 1, "a line break in a message forges no line");
  t.strictSame(JSON.parse(lines[0]!), {
    time: "1970-01-01T00:00:00.000Z",
    level: "warn",
    message: "Something\nodd",
    layer: "sha256:1",
    bytes: 12,
    huge: "1152921504606846976",
    ok: true,
  });
});

t.test("writeLogs() writes text for people", async (t) => {
  const lines = linesOf("text", "debug", () => log.debug("A\nB", { key: 'x "y"\n' }));
  t.strictSame(lines, ['1970-01-01T00:00:00.000Z DEBUG A B key="x \\"y\\"\\n"\n']);
});

t.test("writeLogs() cuts what a stranger made too long", async (t) => {
  const [line] = linesOf("json", "warn", () => log.error("x", { error: "y".repeat(100_000) }));
  t.ok(line!.length < 5000);
});

t.test("writeLogs() ends when it is disposed", async (t) => {
  const lines = linesOf("json", "debug", () => undefined);
  log.error("after");
  t.strictSame(lines, []);
});
