import t from "tap";
import { parseReference } from "../../src/oci/index.js";

const hash = "0123456789abcdef".repeat(4);

t.test("parseReference() fills in Docker's defaults", async (t) => {
  const cases: readonly [string, string][] = [
    ["python", "docker.io/library/python:latest"],
    ["python:3.12", "docker.io/library/python:3.12"],
    ["user/app", "docker.io/user/app:latest"],
    ["index.docker.io/python", "docker.io/library/python:latest"],
    ["docker.io/library/python:3", "docker.io/library/python:3"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app:v1", "localhost:5000/app:v1"],
    ["registry.example:443/a/b/c", "registry.example:443/a/b/c:latest"],
    ["[::1]:5000/app:v1", "[::1]:5000/app:v1"],
    ["UPPER/app:v1", "UPPER/app:v1"],
    [`python@sha256:${hash}`, `docker.io/library/python@sha256:${hash}`],
    [`python:3@sha256:${hash}`, `docker.io/library/python:3@sha256:${hash}`],
    ["a/b__c/d.e/f-g--h", "docker.io/a/b__c/d.e/f-g--h:latest"],
  ];
  for (const [text, whole] of cases) {
    const reference = parseReference(text);
    t.equal(reference.toString(), whole, text);
    t.same({ ...parseReference(whole), toString: 0 }, { ...reference, toString: 0 }, `${whole} reads back`);
  }
  const both = parseReference(`registry.example:5000/team/app:v1@sha256:${hash}`);
  t.equal(both.registry, "registry.example:5000");
  t.equal(both.repository, "team/app");
  t.equal(both.tag, "v1");
  t.equal(both.digest, `sha256:${hash}`);
});

t.test("parseReference() refuses what is no reference", async (t) => {
  const texts = [
    "",
    "/",
    "/app",
    "app/",
    "a//b",
    ":tag",
    "app:",
    "app@",
    "app:a:b",
    "App",
    "user/App",
    "app:-x",
    "app:é",
    "äpp",
    "exämple.org/app",
    "user@host/app",
    "user:secret@host.example/app",
    "https://registry.example/app",
    "registry.example:99999/app",
    "registry.example:0/app",
    "registry.example:x/app",
    "registry.example:/app",
    "-host.example/app",
    "host..example/app",
    "[::1/app",
    "[gg::1]/app",
    "host.example/..",
    "host.example/../etc",
    "host.example/a/./b",
    "host.example/a_-b",
    "host.example/a\nb",
    "host.example/a\0",
    " app",
    hash,
    "app@sha256:abc",
    `app@md5:${hash.slice(32)}`,
    `app@sha256:${hash.toUpperCase()}`,
    `app@sha256:${hash}@sha256:${hash}`,
    `app:${"t".repeat(129)}`,
    `host.example/${"a".repeat(250)}`,
    "a/".repeat(3000),
    `host.example/${"a-".repeat(2000)}`,
  ];
  for (const text of texts) {
    t.throws(
      () => parseReference(text),
      { code: "INVALID_ARGUMENT", reason: "reference-invalid" },
      JSON.stringify(text.slice(0, 60)),
    );
  }
});
