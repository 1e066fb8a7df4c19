import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { checkContainerId, connect, parsePlatform, signalNumber } from "../../src/client/index.js";

function because(reason: string, code = "INVALID_ARGUMENT"): { code: string; reason: string } {
  return { code, reason };
}

t.test("connect() asks nothing, and the first call tells of a socket that isn't there", async (t) => {
  const address = join(tmpdir(), "lazuli-no-such.sock");
  using client = connect({ address });
  const error = await client.version().then(
    () => t.fail("nobody answers there"),
    (thrown) => thrown,
  );
  t.match(error, { code: "UNAVAILABLE", reason: "server-unreachable", subject: address });
  t.match(error.hint, /--address/);
  await t.rejects(client.images(), because("server-unreachable", "UNAVAILABLE"));
  await t.rejects(client.events().next(), because("server-unreachable", "UNAVAILABLE"));
});

t.test("connect() tells of a socket that is a file", async (t) => {
  const address = join(t.testdir({}), "file.sock");
  await writeFile(address, "");
  using client = connect({ address });
  await t.rejects(client.containers(), because("server-unreachable", "UNAVAILABLE"));
});

t.test("connect() refuses what is no path", async (t) => {
  t.throws(() => connect({ address: "localhost:1234" }), because("address-invalid"));
  using client = connect({ address: "unix:///run/x.sock" });
  t.equal(client.address, "/run/x.sock");
});

t.test("a bad reference is refused before the server is asked", async (t) => {
  using client = connect({ address: "/nowhere.sock" });
  for (const text of ["", "a/UPPER:1", "a b", "x@sha256:12", "https://example.com/a"])
    await t.rejects(client.pull(text), because("reference-invalid"), text);
});

t.test("signalNumber() knows names and numbers", async (t) => {
  t.equal(signalNumber("TERM"), 15);
  t.equal(signalNumber("sigkill"), 9);
  t.equal(signalNumber("9"), 9);
  t.equal(signalNumber(2), 2);
  for (const text of ["", "FOO", "0", "65", "1.5"])
    t.throws(() => signalNumber(text), because("signal-unknown"), text);
});

t.test("checkContainerId() takes containerd's identifiers", async (t) => {
  for (const id of ["a", "web-1", "a.b_c-d", "A9".repeat(38)]) checkContainerId(id);
  for (const id of ["", "-a", "a-", "a--b", "a/b", "a b", "x".repeat(77), "../x"])
    t.throws(() => checkContainerId(id), because("id-invalid"), id);
});

t.test("parsePlatform() reads two or three parts", async (t) => {
  t.match(parsePlatform("linux/arm64/v8"), { os: "linux", architecture: "arm64", variant: "v8" });
  for (const text of ["linux", "linux/", "a/b/c/d", ""])
    t.throws(() => parsePlatform(text), because("platform-invalid"), text);
});

t.test("a call ends when its signal fires", async (t) => {
  using client = connect({ address: "/nowhere.sock" });
  const signal = AbortSignal.abort();
  await t.rejects(client.version({ signal }), { name: "AbortError" });
});
