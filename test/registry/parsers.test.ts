import t from "tap";
import { addressKind, hostnameKind } from "../../src/registry/addresses.js";
import { parseChallenges } from "../../src/registry/challenge.js";
import { parseContentRange } from "../../src/registry/content-range.js";
import { durationMs } from "../../src/registry/duration.js";
import { retryAfterMs } from "../../src/registry/retry-after.js";

const plain = (header: string) =>
  parseChallenges(header).map((one) => [one.scheme, Object.fromEntries(one.parameters)]);

t.test("parseChallenges() reads one and many challenges", async (t) => {
  t.same(plain('Bearer realm="https://a/token",service="s", scope="repository:a/b:pull"'), [
    ["bearer", { realm: "https://a/token", service: "s", scope: "repository:a/b:pull" }],
  ]);
  t.same(plain('Negotiate, BASIC Realm=plain , Bearer realm = "a \\"quoted\\" b"'), [
    ["negotiate", {}],
    ["basic", { realm: "plain" }],
    ["bearer", { realm: 'a "quoted" b' }],
  ]);
  t.same(plain('Bearer realm="first",realm="second"'), [["bearer", { realm: "first" }]]);
});

t.test("parseChallenges() ends in bounded time on any text", async (t) => {
  const texts = [
    "",
    ",,,,",
    "=",
    'realm="x"',
    'Bearer realm="never closed',
    `Bearer realm="${"\\".repeat(100_000)}`,
    `Bearer ${"a=b,".repeat(100_000)}`,
    "x ".repeat(100_000),
    '"'.repeat(100_000),
    "\u0000\n\r",
    "Bearer __proto__=1, constructor=2",
  ];
  for (const text of texts) {
    const found = parseChallenges(text);
    t.ok(found.length <= 16, `text ${texts.indexOf(text)} gives at most 16`);
    t.ok(found.every((one) => one.parameters.size <= 32));
  }
});

t.test("parseContentRange() takes the one right form only", async (t) => {
  t.same(parseContentRange("bytes 0-9/10"), { start: 0, end: 9, total: 10 });
  t.same(parseContentRange("bytes 5-9/*"), { start: 5, end: 9, total: undefined });
  const bad = [
    undefined,
    "",
    "bytes */10",
    "bytes 9-5/10",
    "bytes 0-10/10",
    "bytes 0-9",
    "items 0-9/10",
    "bytes -1-9/10",
    "bytes 0-9/10, bytes 0-9/10",
    "bytes 0x0-9/10",
    "bytes 0-9999999999999999/99999999999999999",
    "bytes 0.5-9/10",
  ];
  for (const text of bad) t.equal(parseContentRange(text), undefined, String(text));
});

t.test("retryAfterMs() reads seconds and dates, and nothing else", async (t) => {
  const now = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");
  t.equal(retryAfterMs("0", now), 0);
  t.equal(retryAfterMs("120", now), 120_000);
  t.equal(retryAfterMs("Wed, 21 Oct 2026 07:28:30 GMT", now), 30_000);
  t.equal(retryAfterMs("Wed, 21 Oct 2020 07:28:30 GMT", now), 0, "a date gone by");
  for (const text of [undefined, "", "-1", "soon", "1.5", "1e9", "9".repeat(13), "x".repeat(1000)]) {
    t.equal(retryAfterMs(text, now), undefined, String(text));
  }
});

t.test("durationMs() reads Go's durations", async (t) => {
  t.equal(durationMs("30s"), 30_000);
  t.equal(durationMs("1m30s"), 90_000);
  t.equal(durationMs("1.5s"), 1500);
  t.equal(durationMs("250ms"), 250);
  for (const text of ["", "30", "s", "-1s", "1 s", "1d"]) t.equal(durationMs(text), undefined, text);
});

t.test("addressKind() knows this machine and its link in every writing", async (t) => {
  for (const host of ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1"]) {
    t.equal(addressKind(host), "loopback", host);
  }
  for (const host of ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254"]) {
    t.equal(addressKind(host), "link-local", host);
  }
  for (const host of ["10.0.0.1", "8.8.8.8", "2001:db8::1"]) t.equal(addressKind(host), "elsewhere", host);
  const inUrls = {
    "http://0x7f.1/": "loopback",
    "http://2130706433/": "loopback",
    "http://[::1]/": "loopback",
  };
  for (const [url, kind] of Object.entries(inUrls)) t.equal(hostnameKind(new URL(url).hostname), kind, url);
  t.equal(hostnameKind("localhost."), "loopback");
  t.equal(hostnameKind("a.localhost"), "loopback");
  t.equal(hostnameKind("registry.example"), undefined);
});
