import t from "tap";
import { sourcesOfLabels } from "../../src/daemon/image-sources.js";

const label = "containerd.io/distribution.source.";

t.test("sourcesOfLabels() reads hosts and repositories", async (t) => {
  t.strictSame(
    sourcesOfLabels({
      "containerd.io/gc.ref.content.config": "sha256:1",
      [`${label}docker.io`]: "library/python,me/python",
      [`${label}127.0.0.1:5000`]: "a/b__c.d-e",
      [`${label}[::1]:5000`]: "x",
      [`${label}fd00::1`]: "y",
    }),
    [
      "docker.io/library/python",
      "docker.io/me/python",
      "127.0.0.1:5000/a/b__c.d-e",
      "[::1]:5000/x",
      "[fd00::1]/y",
    ],
  );
});

t.test("sourcesOfLabels() leaves out what names no repository", async (t) => {
  t.strictSame(
    sourcesOfLabels({
      [`${label}`]: "x",
      [`${label}a/b`]: "x",
      [`${label}user@host`]: "x",
      [`${label}host`]: "../../etc,UPPER,,a//b?c,x y",
      [`${label}long.example`]: "a".repeat(300),
    }),
    [],
  );
  const many = Array.from({ length: 100 }, (_, index) => `r${index}`).join(",");
  t.equal(sourcesOfLabels({ [`${label}host`]: many }).length, 16);
});
