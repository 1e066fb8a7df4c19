import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseChallenges } from "../../src/registry/challenge.js";
import { parseContentRange } from "../../src/registry/content-range.js";
import { askCredentialHelper } from "../../src/registry/credential-helper.js";
import { parseHostsToml } from "../../src/registry/hosts-toml.js";
import { DockerConfigCredentials, systemClock } from "../../src/registry/index.js";
import { retryAfterMs } from "../../src/registry/retry-after.js";
import { answers, type GateCase, refusals } from "./gate-case.js";

const hosts = (text: string): unknown =>
  parseHostsToml({
    text,
    path: "/etc/hosts.toml",
    folder: "/etc",
    fallbackUrl: new URL("https://a.example/"),
  });

const hostsCases: readonly GateCase[] = [
  ...refusals<string>(
    { group: "N-hosts", run: hosts, code: "FAILED_PRECONDITION", reason: "hosts-config-invalid" },
    [
      ["no TOML", "<html>"],
      ["a NUL", 'server = "a\0"'],
      ["a key twice", 'server = "a"\nserver = "b"'],
      ["a key __proto__", "[__proto__]\nx = 1"],
      ["a server that is a number", "server = 5"],
      ["a server that is no address", 'server = "https://["'],
      ["a server with a password", 'server = "https://u:p@a.example"'],
      ["hosts that are a list", 'host = ["a"]'],
      ["a host that is a text", '[host]\na = "b"'],
      ["a mirror with a password", '[host."https://u:p@b.example"]'],
      ["a capability that does not exist", '[host."https://b.example"]\ncapabilities = ["everything"]'],
      ["skip_verify as text", '[host."https://b.example"]\nskip_verify = "no"'],
      ["override_path as number", '[host."https://b.example"]\noverride_path = 1'],
      ["a ca that is a number", '[host."https://b.example"]\nca = 5'],
      ["client of three paths", '[host."https://b.example"]\nclient = [["a", "b", "c"]]'],
      ["an empty certificate", '[host."https://b.example"]\nclient = ""'],
      ["a header that is a number", '[host."https://b.example".header]\nx = 5'],
      ["a header with a line break", '[host."https://b.example".header]\nx = "a\\r\\nb: c"'],
      ["a header name with a space", '[host."https://b.example".header]\n"a b" = "c"'],
      ["1000 lists in each other", `a = ${"[".repeat(1000)}${"]".repeat(1000)}`],
      ["1000 mirrors", Array.from({ length: 1000 }, (_, at) => `[host."https://h${at}.example"]`).join("\n")],
      ["a dial_timeout that is no time", '[host."https://b.example"]\ndial_timeout = "soon"'],
    ],
  ),
];

/** Writes config.json, and a helper `odd` on PATH that does what the script says. */
async function withFolder<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-gate-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const fromConfig = async (text: string): Promise<unknown> =>
  await withFolder(async (folder) => {
    const path = join(folder, "config.json");
    await writeFile(path, text);
    const credentials = new DockerConfigCredentials({ path, clock: systemClock });
    return await credentials.find({ host: "a.example", repository: "x/y", signal: undefined, fresh: false });
  });

const auths = (entry: unknown): string => JSON.stringify({ auths: { "a.example": entry } });
const base64 = (text: string): string => Buffer.from(text).toString("base64");

const dockerCases: readonly GateCase[] = [
  ...refusals<string>(
    { group: "N-docker", run: fromConfig, code: "FAILED_PRECONDITION", reason: "docker-config-invalid" },
    [
      ["no JSON", "auths:"],
      ["an empty file", ""],
      ["a web page", "<html>"],
      ["an unfinished file", '{"auths":{"a.example":{"auth":"c2Vj'],
    ],
  ),
  ...answers<string>("N-docker", fromConfig, [
    ["null", "null", undefined],
    ["a list", "[]", undefined],
    ["auths that are a list", '{"auths":["a.example"]}', undefined],
    ["an entry that is a text", auths("secret"), undefined],
    ["an entry that is null", auths(null), undefined],
    ["an auth that is a number", auths({ auth: 5 }), undefined],
    ["an auth that is no base64", auths({ auth: "!!!" }), undefined],
    ["an auth without a colon", auths({ auth: base64("user") }), undefined],
    ["an auth without a user", auths({ auth: base64(":secret") }), undefined],
    ["an empty auth", auths({ auth: "" }), undefined],
    ["a username without a password", auths({ username: "u" }), undefined],
    ["a host __proto__", '{"auths":{"__proto__":{"auth":"dTpw"}}}', undefined],
    [
      "a host that ends with ours",
      JSON.stringify({ auths: { "x.a.example": { auth: base64("u:p") } } }),
      undefined,
    ],
    [
      "a host that begins with ours",
      JSON.stringify({ auths: { "a.example.evil": { auth: base64("u:p") } } }),
      undefined,
    ],
    [
      "our host as the user of another",
      JSON.stringify({ auths: { "https://a.example@evil/": { auth: base64("u:p") } } }),
      undefined,
    ],
    [
      "a password with colons",
      auths({ auth: base64("u:p:q") }),
      { kind: "password", username: "u", password: "p:q" },
    ],
    ["a helper that is a number", '{"credHelpers":{"a.example":5}}', undefined],
  ]),
  ...refusals<string>(
    { group: "N-docker", run: fromConfig, code: "FAILED_PRECONDITION", reason: "credential-helper-invalid" },
    [
      ["a helper that leads up", '{"credHelpers":{"a.example":"../../bin/sh"}}'],
      ["a helper with a space", '{"credsStore":"a b"}'],
      ["a helper with a line break", '{"credsStore":"a\\n"}'],
      ["a helper of 100 characters", JSON.stringify({ credsStore: "a".repeat(100) })],
      ["a helper that begins with a dash", '{"credsStore":"-a"}'],
    ],
  ),
];

const helper = async (script: string): Promise<unknown> =>
  await withFolder(async (folder) => {
    const bin = join(folder, "bin");
    await mkdir(bin);
    await writeFile(join(bin, "docker-credential-odd"), `#!/bin/sh\n${script}\n`);
    await chmod(join(bin, "docker-credential-odd"), 0o755);
    const before = process.env.PATH;
    process.env.PATH = `${bin}:${before}`;
    try {
      return await askCredentialHelper({ helper: "odd", server: "a.example" });
    } finally {
      process.env.PATH = before;
    }
  });

const helperCases: readonly GateCase[] = [
  ...refusals<string>(
    { group: "N-helper", run: helper, code: "UNAVAILABLE", reason: "credential-helper-failed" },
    [
      ["prints nothing", "exit 0"],
      ["prints no JSON", "echo secret"],
      ["prints half of an answer", `printf '{"Username":"u","Sec'`],
      ["prints null", "echo null"],
      ["prints a list", "echo '[]'"],
      ["prints numbers", `echo '{"Username":1,"Secret":2}'`],
      ["prints without a secret", `echo '{"Username":"u"}'`],
      ["fails", "exit 3"],
      ["fails with a secret in its words", "echo the-secret; exit 1"],
      ["kills itself", "kill -9 $$"],
      ["prints 32 MiB", "head -c 33554432 /dev/zero"],
      ["prints for ever", "yes"],
    ],
  ),
  ...answers<string>("N-helper", helper, [
    ["knows none", "echo credentials not found in native keychain; exit 1", undefined],
    ["has an empty secret", `echo '{"Username":"u","Secret":""}'`, undefined],
    [
      "does not read its input",
      `exec 0<&-; echo '{"Username":"u","Secret":"p"}'`,
      { kind: "password", username: "u", password: "p" },
    ],
    [
      "has a token",
      `echo '{"Username":"<token>","Secret":"t"}'`,
      { kind: "identity-token", identityToken: "t" },
    ],
  ]),
];

const headerCases: readonly GateCase[] = [
  ...answers<string>("N-range", parseContentRange, [
    ["an empty text", "", undefined],
    ["another unit", "items 0-1/2", undefined],
    ["a range that ends before it starts", "bytes 5-4/10", undefined],
    ["an end behind the total", "bytes 0-10/10", undefined],
    ["an unsatisfied range", "bytes */10", undefined],
    ["a number of 16 digits", "bytes 0-1000000000000000/*", undefined],
    ["a number with a sign", "bytes +0-1/2", undefined],
    ["a number in hex", "bytes 0x0-0x1/2", undefined],
    ["digits of another script", "bytes ٠-١/٢", undefined],
    ["text behind", "bytes 0-1/2 x", undefined],
    ["a line break behind", "bytes 0-1/2\n3", undefined],
    ["a megabyte", `bytes 0-1/${"9".repeat(1 << 20)}`, undefined],
    ["an unknown total", "bytes 0-1/*", { start: 0, end: 1, total: undefined }],
  ]),
  ...answers<string>("N-retry", (text) => retryAfterMs(text, 0), [
    ["a negative number", "-1", undefined],
    ["a number of 13 digits", "1".repeat(13), undefined],
    ["1e9", "1e9", undefined],
    ["a word", "soon", undefined],
    ["a date before now", "Wed, 31 Dec 1969 23:00:00 GMT", 0],
    ["a date that is none", "Fri, 99 Foo 2100 99:99:99 GMT", undefined],
    ["a megabyte", "Fri".repeat(1 << 18), undefined],
  ]),
  ...answers<string>("N-challenge", (text) => parseChallenges(text).length, [
    ["nothing", "", 0],
    ["commas", ",".repeat(100_000), 0],
    ["quotes", '"'.repeat(100_000), 0],
    ["a parameter without a scheme", 'realm="x"', 0],
    ["an unfinished quote", `Bearer realm="${"\\".repeat(100_000)}`, 1],
    ["100,000 schemes", "a ".repeat(100_000), 16],
    ["line breaks", "\r\n\r\nBearer", 0],
  ]),
];

/** What registries, hosts.toml, Docker's config and credential helpers say. */
export const hostCases: readonly GateCase[] = [...hostsCases, ...dockerCases, ...helperCases, ...headerCases];
