import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { loadCommands } from "../../src/cli/commands.js";
import { runCli } from "../../src/cli/run-cli.js";
import { command } from "../../testing/rig/command.js";

async function run(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  const code = await runCli({
    arguments: words,
    environment,
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

t.test("runCli() shows a whole page for --help of every command", async (t) => {
  for (const { name, options } of await loadCommands()) {
    const page = await run([name, "--help"]);
    t.equal(page.code, 0, name);
    t.equal(page.stderr, "");
    for (const head of ["USAGE", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS"]) {
      t.match(page.stdout, `\n${head}\n`, `${name} has ${head}`);
    }
    for (const option of Object.keys(options))
      t.match(page.stdout, `--${option}`, `${name} tells --${option}`);
    t.notOk(
      page.stdout.split("\n").find((line) => line.length > 100 && line.startsWith("      ")),
      `${name} fits a terminal`,
    );
    t.equal((await run(["help", name])).stdout, page.stdout, "help shows the same page");
  }
});

t.test("runCli() lists every command, on stderr with 2 when it was given none", async (t) => {
  const listed = await run(["help"]);
  t.equal(listed.code, 0);
  for (const { name, summary } of await loadCommands())
    t.match(listed.stdout, new RegExp(`${name} +${summary}`));
  t.strictSame(await run([]), { code: 2, stdout: "", stderr: listed.stdout });
  t.strictSame(await run(["--help"]), listed);
});

t.test("runCli() answers bad usage with 2 and what was meant", async (t) => {
  t.match(await run(["staus"]), { code: 2, stdout: "", stderr: /Did you mean `lazuli status`\?/ });
  t.match(await run(["frobnicate"]), { code: 2, stderr: /`lazuli help` lists the commands/ });
  t.match(await run(["version", "--jsn"]), { code: 2, stderr: /no option --jsn, did you mean --json\?/ });
  t.match(await run(["version", "more"]), { code: 2, stderr: /Cannot run lazuli version: want version/ });
  t.match(await run(["config"]), { code: 2, stderr: /default\|dump\|check/ });
  t.match(await run(["config", "dmp"]), { code: 2, stderr: /got "dmp"/ });
  t.match(await run(["explain"]), { code: 2 });
  t.match(await run(["config", "dump", "--root"]), { code: 2 });
});

t.test("runCli() prints errors as JSON where JSON was asked for", async (t) => {
  const { code, stderr } = await run(["config", "check", "--root", "relative", "--json"]);
  t.equal(code, 2);
  t.match(JSON.parse(stderr).error, { code: "INVALID_ARGUMENT", reason: "config-invalid" });
});

t.test("config shows, checks and dumps", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-cli-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "config.toml");
  await writeFile(file, '[log]\nlevel = "warn"\n');
  t.match(await run(["config", "default"]), { code: 0, stdout: /# root = "\/var\/lib\/lazuli"/ });
  t.match(await run(["config", "check", "--config", file]), {
    code: 0,
    stdout: /config is good \(.*config.toml\)/,
  });
  const dump = await run(["config", "dump", "--root", "/x"], { LAZULI_CONFIG: file });
  t.match(dump, { code: 0, stdout: /^version = 1\nroot = "\/x"\n(.|\n)*\[log\]\nlevel = "warn"\n/ });
  const json = await run(["config", "dump", "--config", file, "--json"]);
  t.match(JSON.parse(json.stdout), { log: { level: "warn" }, layer: { mount: "auto" } });
  await writeFile(file, "[logg]\n");
  const bad = await run(["config", "check", "--config", file]);
  t.match(bad, { code: 2, stdout: "", stderr: /unknown key "logg", did you mean "log"\?\nhint: / });
  const missing = await run(["config", "check", "--config", join(folder, "none.toml")]);
  t.match(missing, { code: 5, stderr: /none.toml: the file does not exist\nhint: / });
});

t.test("doctor tells every check, and breaks only for what is broken", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-doctor-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "config.toml");
  await writeFile(
    file,
    `root = "${folder}/root"\n[snapshotter]\naddress = "${folder}/no.sock"\n[containerd]\naddress = "${folder}/c.sock"\n`,
  );
  const { code, stdout } = await run(["doctor", "--config", file, "--json"]);
  const { ok, findings } = JSON.parse(stdout);
  t.equal(code, ok ? 0 : 9);
  const states = Object.fromEntries(
    findings.map((one: { check: string; state: string }) => [one.check, one.state]),
  );
  t.match(states, { config: "good", daemon: "weak", containerd: "weak", rung: "told" });
  t.notOk(findings.find((one: { state: string; hint?: string }) => one.state === "weak" && !one.hint));
  const text = await run(["doctor", "--config", file]);
  t.match(text.stdout, /^CHECK +STATE +DETAIL\nconfig +good/);
  await writeFile(file, "x = 1\n");
  t.match(await run(["doctor", "--config", file]), { code: 9, stdout: /config +broken/ });
});

t.test("bin/lazuli runs as a program of its own", async (t) => {
  const program = fileURLToPath(new URL("../../../bin/lazuli", import.meta.url));
  const version = await command(program, ["version", "--json"]);
  t.match(JSON.parse(version.stdout), { lazuli: /^\d+\.\d+\.\d+/, node: process.versions.node });
  const wrong = await command(program, ["nothing"], { allow: [2] });
  t.match(wrong, { code: 2, stdout: "" });
});
