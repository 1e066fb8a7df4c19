import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { linuxHost } from "../../src/cri/spec/index.js";

const host = linuxHost({ selinuxCategoryRange: 4, podLabels: () => ["u:r:t:s0:c0,c1", "u:r:t:s0:c0,c2"] });

t.test("facts() tells of this process and this node, and asks once", async (t) => {
  const facts = await host.facts();
  const status = await readFile("/proc/self/status", "utf8");
  t.equal(facts.oomScoreAdj, Number(await readFile("/proc/self/oom_score_adj", "utf8")));
  t.equal(facts.hasSeccomp, status.includes("\nSeccomp:"));
  t.equal(
    facts.capabilities.includes("CAP_CHOWN"),
    Number.parseInt(/CapEff:\s*\S+(\S)\n/.exec(status)![1]!, 16) % 2 === 1,
  );
  t.match(facts.architecture, /^(amd64|arm64)$/);
  t.equal(
    facts.isInUserNamespace,
    !/^\s*0\s+0\s+4294967295/.test(await readFile("/proc/self/uid_map", "utf8")),
  );
  t.equal(host.facts(), host.facts());
});

t.test(
  "devices() lists what is in a folder, without links and what every container has for itself",
  async (t) => {
    const devices = await host.devices("/dev");
    const nothing = devices.find(({ path }) => path === "/dev/null");
    t.match(nothing, { type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 0 });
    t.notOk(devices.some(({ path }) => /^\/dev\/(pts|shm|fd|mqueue)\/|\/console$/.test(path)));
    t.same(
      await host.devices("/dev/zero"),
      devices.filter(({ path }) => path === "/dev/zero"),
    );
  },
);

t.test("devices() refuses what is no device", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-spec-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "file"), "");
  await symlink("/dev/null", join(folder, "link"));
  t.same(await host.devices(folder), []);
  for (const name of ["file", "link", "missing"]) {
    await t.rejects(
      host.devices(join(folder, name)),
      { code: "INVALID_ARGUMENT", reason: "device-invalid" },
      name,
    );
  }
});

t.test("paths are looked at, made and followed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-spec-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const made = join(folder, "a/b");
  t.notOk(await host.hasPath(made));
  await host.makeFolder(made);
  t.ok(await host.hasPath(made));
  t.ok(await host.isFolder(made));
  await symlink(made, join(folder, "link"));
  t.equal(await host.realPath(join(folder, "link")), made);
  await mkdir(join(folder, "c"));
});

t.test("mounts() tells how mounts propagate", async (t) => {
  const mounts = await host.mounts();
  t.ok(mounts.some(({ target }) => target === "/proc"));
  const wanted = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .filter((line) => line.includes(" shared:"));
  t.equal(
    mounts.filter(({ propagation }) => propagation.some((field) => field.startsWith("shared:"))).length,
    wanted.length,
  );
});

t.test("drawLevel() draws a pair that no pod has", async (t) => {
  const drawn = new Set(Array.from({ length: 200 }, () => host.drawLevel()));
  for (const level of drawn) t.ok(["s0:c0,c3", "s0:c1,c2", "s0:c1,c3", "s0:c2,c3"].includes(level), level);
  const full = linuxHost({ selinuxCategoryRange: 2, podLabels: () => ["u:r:t:s0:c0,c1"] });
  t.throws(() => full.drawLevel(), { code: "RESOURCE_EXHAUSTED", reason: "selinux-levels-exhausted" });
});

t.test("relabel() refuses the node's own folders", async (t) => {
  for (const path of ["/", "/etc", "/usr", "/var"]) {
    await t.rejects(
      host.relabel(path, "u:r:t:s0"),
      { code: "INVALID_ARGUMENT", reason: "relabel-refused" },
      path,
    );
  }
});
