import t from "tap";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../src/daemon/units.js";

t.test("parseDuration() reads one or more numbers with units", async (t) => {
  t.equal(parseDuration("30s"), 30_000);
  t.equal(parseDuration("1m30s"), 90_000);
  t.equal(parseDuration("250ms"), 250);
  t.equal(parseDuration("1.5s"), 1500);
  t.equal(parseDuration("24h"), 86_400_000);
});

t.test("parseDuration() refuses what is no time", async (t) => {
  for (const text of [
    "",
    "0",
    "0s",
    "30",
    "-1s",
    "1 s",
    "s",
    "1d",
    "25h",
    "1s ",
    "0.1ms",
    "1e3s",
    "9".repeat(50),
  ]) {
    t.throws(() => parseDuration(text), { code: "INVALID_ARGUMENT", reason: "duration-invalid" }, text);
  }
});

t.test("parseSize() reads whole bytes with a unit", async (t) => {
  t.equal(parseSize("4096B"), 4096);
  t.equal(parseSize("64MiB"), 67_108_864);
  t.equal(parseSize("1.5 GiB"), 1_610_612_736);
});

t.test("parseSize() refuses what is no size", async (t) => {
  for (const text of ["", "0B", "64", "64MB", "64mib", "-1KiB", "0.3B", "9999999999TiB", "1KiB2KiB"]) {
    t.throws(() => parseSize(text), { code: "INVALID_ARGUMENT", reason: "size-invalid" }, text);
  }
});

t.test("formatDuration() and formatSize() read back to the same", async (t) => {
  for (const milliseconds of [1, 999, 1000, 61_001, 3_600_000, 86_400_000]) {
    t.equal(parseDuration(formatDuration(milliseconds)), milliseconds);
  }
  for (const bytes of [1, 1023, 1024, 1536, 2 ** 20, 3 * 2 ** 30])
    t.equal(parseSize(formatSize(bytes)), bytes);
});
