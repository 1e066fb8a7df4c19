import t from "tap";
import { traceText } from "../../src/cli/trace-command.js";
import { waterfall } from "../../src/cli/trace-waterfall.js";
import { sampleTrace } from "../traces/sample-trace.js";

t.test("waterfall() draws reads, waits and requests of each layer on one axis", async (t) => {
  const drawn = waterfall(sampleTrace(), 80);
  const lines = drawn.split("\n");
  t.ok(
    lines.every((line) => [...line].length <= 80),
    "in the width that it has",
  );
  t.match(drawn, /layer 0 {2}sha256:[0-9a-f]{12} {2}estargz/);
  t.match(drawn, /layer 1 .*soci.*\n *1 of 2 units read \(5\.9 KiB\), 0 local, 1 requests/);
  t.match(drawn, /requests {3} *D░*█+▒*/, "a demand with its first byte, its end and its decoding");
  t.match(drawn, /requests {3} *B░+/, "one that got no byte");
  t.equal(lines.filter((line) => line.startsWith("waits")).length, 2);
});

t.test("waterfall() bounds what one layer can take, and draws an empty trace", async (t) => {
  const { requests } = sampleTrace();
  const many = Array.from({ length: 100 }, () => requests[0]!);
  const drawn = waterfall(sampleTrace({ requests: many }), 100);
  t.match(drawn, /and 88 more requests/);
  t.ok(waterfall(sampleTrace({ requests: [], touches: [] }), 10).length > 0);
});

t.test("traceText() names the start and its totals, and lets no control character through", async (t) => {
  const text = traceText(sampleTrace({ key: "web\u001b[2J", command: ["sh", "-c", "a b"] }), 100);
  t.notOk(text.includes("\u001b"));
  t.match(text, /command {4}sh -c "a b"/);
  t.match(text, /read {7}3 units, 11\.7 KiB; local 1 units, 2\.9 KiB \(25 %\)/);
  t.match(text, /waited {5}60\.0 ms in which a read waited, 80\.0 ms over all units/);
});
