import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { command } from "../../testing/rig/command.js";

const program = fileURLToPath(new URL("../../../bin/lazuli", import.meta.url));

async function fileWith(t: Test, text: string): Promise<{ folder: string; from: string }> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-migrate-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const from = join(folder, "containerd.toml");
  await writeFile(from, text);
  return { folder, from };
}

const text = `version = 2
oom_score = -5
[debug]
  level = "warn"
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
  endpoint = ["https://mirror.example"]
`;

t.test("lazuli config migrate writes a file that lazuli takes, and hosts on request", async (t) => {
  const { folder, from } = await fileWith(t, text);
  const output = join(folder, "config.toml");
  const hosts = join(folder, "certs.d");
  const args = ["config", "migrate", "--from", from, "-o", output, "--hosts", hosts];
  const { stdout } = await command(program, args);
  t.match(stdout, /^LEFT OUT +VALUE +WHY\n/);
  t.match(stdout, /^oom_score +-5 +systemd's business/m);
  const written = await readFile(output, "utf8");
  t.equal(written.split("\n")[0], "version = 1");
  t.match(written, '[log]\nlevel = "warn"\n');
  t.match(written, `config_path = [ "${hosts}" ]`);
  t.match(await readFile(join(hosts, "docker.io", "hosts.toml"), "utf8"), '[host."https://mirror.example"]');
  await command(program, ["config", "check", "--config", output]);
  const again = await command(program, args, { allow: [6] });
  t.match(again.stderr, /want a new file, got one that is there/);
});

t.test("lazuli config migrate prints the file, and tells by its exit code what happened", async (t) => {
  const { from } = await fileWith(t, text);
  const plain = await command(program, ["config", "migrate", "--from", from]);
  t.equal(plain.stdout, 'version = 1\n\n[log]\nlevel = "warn"\n\n');
  t.match(plain.stderr, /^oom_score/m);
  const json = JSON.parse((await command(program, ["config", "migrate", "--from", from, "--json"])).stdout);
  t.match(json, {
    files: [{ path: from, version: 2 }],
    text: plain.stdout,
    taken: [{ from: "debug.level", to: "log.level" }],
    hosts: [{ host: "docker.io" }],
  });
  t.match(
    json.dropped.find(({ key }: { key: string }) => key === "oom_score"),
    { value: "-5" },
  );
  const codeOf = async (...args: string[]): Promise<number> =>
    (await command(program, ["config", "migrate", ...args], { allow: [2, 5, 9] })).code;
  t.equal(await codeOf("--from", from, "--strict"), 9);
  t.equal(await codeOf("--from", "/nowhere/config.toml"), 5);
  const wrong = await fileWith(t, 'version = 2\n[grpc]\naddress = "relative"\n');
  t.equal(await codeOf("--from", wrong.from), 9);
  const good = await fileWith(t, 'version = 4\n[debug]\nlevel = "info"\n');
  t.equal(await codeOf("--from", good.from, "--strict"), 0);
});
