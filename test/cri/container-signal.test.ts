import t from "tap";
import { Signal } from "../../gen/runtime/v1/api_pb.js";
import { stopSignalOf, wireSignal } from "../../src/cri/container-names.js";
import { signalNumber } from "../../src/cri/signal-number.js";

t.test("signalNumber() reads signals as images name them", async (t) => {
  const table: readonly [string, number][] = [
    ["SIGTERM", 15],
    ["term", 15],
    ["15", 15],
    ["SIGRTMIN", 34],
    ["SIGRTMIN+3", 37],
    ["RTMIN+3", 37],
    ["SIGRTMAX-2", 62],
    ["SIGRTMAX", 64],
    ["SIGCLD", 17],
  ];
  for (const [text, number] of table) t.equal(signalNumber(text), number, text);
  for (const text of [
    "",
    "0",
    "65",
    "SIGNOT",
    "SIGRTMIN+99",
    "SIGRTMAX+1",
    "SIGTERM+1",
    "-9",
    "constructor",
  ]) {
    t.throws(() => signalNumber(text), { code: "INVALID_ARGUMENT" }, text);
  }
});

t.test("stopSignalOf() and wireSignal() have the same words for every signal of CRI", async (t) => {
  for (const value of Object.values(Signal)) {
    if (typeof value !== "number" || value === Signal.RUNTIME_DEFAULT) continue;
    const name = stopSignalOf(value);
    t.equal(wireSignal(name), value, name);
    t.ok(signalNumber(name.replace("SIGPOLL", "SIGIO")) > 0, `${name} has a number`);
  }
  t.equal(stopSignalOf(Signal.RUNTIME_DEFAULT), "");
  t.equal(wireSignal(""), Signal.SIGTERM);
  t.throws(() => stopSignalOf(99 as Signal), { code: "INVALID_ARGUMENT" });
});
