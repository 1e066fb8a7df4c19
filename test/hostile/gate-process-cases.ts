import { findGroup } from "../../src/spec/accounts.js";
import { findUser, parseRunConfig, parseSeccompProfile, supplementaryGroups } from "../../src/spec/index.js";
import { answers, type GateCase, json, refusals } from "./gate-case.js";

const passwd = [
  "root:x:0:0:root:/root:/bin/sh",
  "app:x:1000:1000::/:/bin/sh",
  "4294967296:x:0:0::/:/bin/sh",
  "99999999999:x:0:0::/:/bin/sh",
  "-1:x:0:0::/:/bin/sh",
  "0x10:x:0:0::/:/bin/sh",
  "huge:x:4294967295:0::/:/bin/sh",
  "negative:x:-1:0::/:/bin/sh",
  "words:x:zero:0::/:/bin/sh",
  "short",
  "two:x:1002:1002::/:/bin/sh",
  "two:x:0:0::/:/bin/sh",
  "__proto__:x:1003:1003::/:/bin/sh",
  "cr:x:1004:1004::/:/bin/sh\r",
].join("\n");
const group = [
  "root:x:0:",
  "app:x:1000:",
  "wheel:x:10:app,other",
  "big:x:4294967295:app",
  "1000:x:0:app",
].join("\n");
const accounts = { passwd, group };
const user = (text: string): unknown => findUser(text, accounts);
const endless = "x:x:0:0::/:\n".repeat(200_000);

/** An image's word of who runs, against files of the same image. */
const userCases: readonly GateCase[] = [
  ...refusals<string>({ group: "O-user", run: user, code: "INVALID_ARGUMENT", reason: "user-invalid" }, [
    ["an empty text", ""],
    ["a colon", ":"],
    ["a group only", ":0"],
    ["an empty group", "app:"],
    ["three parts", "app:app:app"],
    ["-1", "-1"],
    ["-0001", "-0001"],
    ["2^31", "2147483648"],
    ["2^32-1, which is no id", "4294967295"],
    ["2^32, which wraps to root, and is a name in the image", "4294967296"],
    ["2^32+1000", "4294968296"],
    ["2^63", "9223372036854775808"],
    ["2^64, which wraps to root", "18446744073709551616"],
    ["a number of 100 digits", "9".repeat(100)],
    ["a number that the image has as a name of root", "99999999999"],
    ["an account of -1", "-1:0"],
  ]),
  ...refusals<string>({ group: "O-user", run: user, code: "INVALID_ARGUMENT", reason: "group-invalid" }, [
    ["a group of -1", "app:-1"],
    ["a group of 2^32", "app:4294967296"],
    ["a group of 2^64", "0:18446744073709551616"],
  ]),
  ...refusals<string>({ group: "O-user", run: user, code: "NOT_FOUND", reason: "user-unknown" }, [
    ["a name that nobody has", "nobody"],
    ["a name in upper case", "ROOT"],
    ["a name with a space before", " root"],
    ["a name with a space behind", "root "],
    ["a name with a line break", "root\n"],
    ["a name with a NUL", "root\0"],
    ["an account whose id is 2^32-1", "huge"],
    ["an account whose id is -1", "negative"],
    ["an account whose id is a word", "words"],
    ["a line without fields", "short"],
    ["1e3", "1e3"],
    ["1.5", "1.5"],
    ["a name of a method", "constructor"],
    ["digits of another script", "٠"],
    ["a whole line of passwd", "app,x,1000"],
    ["a name of a megabyte", "a".repeat(1 << 20)],
  ]),
  ...refusals<string>({ group: "O-user", run: user, code: "NOT_FOUND", reason: "group-unknown" }, [
    ["a group that nobody has", "app:nobody"],
    ["a group whose id is 2^32-1", "app:big"],
    ["a group of a method's name", "app:toString"],
  ]),
  ...answers<string>("O-user", (text) => findUser(text, accounts), [
    ["root by number", "0", { uid: 0, gid: 0, additionalGids: [0] }],
    ["+0", "+0", { uid: 0, gid: 0, additionalGids: [0] }],
    ["0000", "0000", { uid: 0, gid: 0, additionalGids: [0] }],
    ["a number without an account", "5000", { uid: 5000, gid: 0, additionalGids: [0] }],
    ["2^31-1", "2147483647", { uid: 2147483647, gid: 0, additionalGids: [0] }],
    ["a number of an account", "1000", { uid: 1000, gid: 1000, additionalGids: [1000, 10, 0] }],
    ["a name that stands twice: the first counts", "two", { uid: 1002, gid: 1002, additionalGids: [1002] }],
    ["an account __proto__", "__proto__", { uid: 1003, gid: 1003, additionalGids: [1003] }],
    ["a group by number that is also a name of root's", "app:1000", { uid: 1000, gid: 1000 }],
    ["a line that ends with a carriage return", "cr", { uid: 1004, gid: 1004, additionalGids: [1004] }],
  ]),
  ...answers<string>("O-user", (text) => findUser(text, { passwd: undefined, group: undefined }).uid, [
    ["a number without any file", "7", 7],
  ]),
  ...refusals<string>(
    {
      group: "O-user",
      run: (text) => findUser(text, { passwd: undefined, group: undefined }),
      code: "NOT_FOUND",
      reason: "user-unknown",
    },
    [["a name without any file", "root"]],
  ),
  ...refusals<string>(
    {
      group: "O-user",
      run: (text) => findUser("late", { passwd: `${text}late:x:5:5::/:`, group: undefined }),
      code: "NOT_FOUND",
      reason: "user-unknown",
    },
    [["a name behind 200,000 lines", endless]],
  ),
  ...answers<string>("O-user", (text) => findUser("0", { passwd: text, group: text }).uid, [
    ["a file of one line of 16 MiB", "a".repeat(16 << 20), 0],
    ["a file of colons", ":".repeat(1 << 20), 0],
    ["a file of line breaks", "\n".repeat(1 << 20), 0],
    ["a file of NULs", "\0".repeat(1 << 20), 0],
  ]),
  ...answers<string>("O-user", (text) => supplementaryGroups("app", { passwd, group: text }).length, [
    [
      "a user in 100,000 groups is in 65,536",
      Array.from({ length: 99_999 }, (_, id) => `g${id}:x:${id}:app`).join("\n"),
      65_536,
    ],
    ["a group with a million members", `g:x:5:${"a,".repeat(1_000_000)}app`, 1],
  ]),
  ...answers<string>("O-user", (text) => findGroup(text, accounts), [
    ["a group by name", "wheel", 10],
    ["a group by number", "77", 77],
  ]),
];

const config = (value: object): unknown => parseRunConfig(json({ config: value }));
const badConfig = { code: "INVALID_ARGUMENT", reason: "run-config-invalid" } as const;

const runConfigCases: readonly GateCase[] = [
  ...refusals<object>({ group: "O-run", run: config, ...badConfig }, [
    ["a user that is a number", { User: 0 }],
    ["a user that is a list", { User: ["0"] }],
    ["a user with a NUL", { User: "0\0" }],
    ["user beside User", { User: "1000", user: "0" }],
    ["user in place of User", { user: "0" }],
    ["uſer, which Go takes for User", { uſer: "0" }],
    ["ENTRYPOINT", { ENTRYPOINT: ["/bin/sh"] }],
    ["workingdir", { workingdir: "/" }],
    ["an Env that is a text", { Env: "A=B" }],
    ["an Env with a number", { Env: [5] }],
    ["an Env with a NUL", { Env: ["A=B\0C"] }],
    ["an Env of 10,001 texts", { Env: Array(10_001).fill("A=B") }],
    ["an Entrypoint that is an object", { Entrypoint: {} }],
    ["an Entrypoint of 100,000 texts", { Entrypoint: Array(100_000).fill("a") }],
    ["an Entrypoint with a NUL", { Entrypoint: ["/bin/sh\0"] }],
    ["a Cmd with a list", { Cmd: [[]] }],
    ["a WorkingDir with a NUL", { WorkingDir: "/\0" }],
    ["a WorkingDir that is a list", { WorkingDir: ["/"] }],
    ["a StopSignal that is a number", { StopSignal: 9 }],
    ["Labels that are a list", { Labels: ["a"] }],
    ["a label that is an object", { Labels: { a: {} } }],
    ["a label with a NUL", { Labels: { a: "\0" } }],
    ["Volumes that are a list", { Volumes: ["/data"] }],
    ["Volumes that are a text", { Volumes: "/data" }],
  ]),
  ...refusals<unknown>({ group: "O-run", run: (value) => parseRunConfig(json(value)), ...badConfig }, [
    ["a list", []],
    ["null", null],
    ["a config that is a list", { config: [] }],
    ["Config beside config", { config: {}, Config: { User: "0" } }],
    ["an architecture that is a number", { architecture: 64 }],
  ]),
  ...refusals<Buffer>(
    { group: "O-run", run: parseRunConfig, code: "INVALID_ARGUMENT", reason: "json-duplicate-key" },
    [
      ["User twice", Buffer.from(`{"config":{"User":"1000","User":"0"}}`)],
      ["config twice", Buffer.from(`{"config":{"User":"1000"},"config":{}}`)],
      ["a label twice", Buffer.from(`{"config":{"Labels":{"a":"1","a":"2"}}}`)],
    ],
  ),
  ...refusals<Buffer>(
    { group: "O-run", run: parseRunConfig, code: "RESOURCE_EXHAUSTED", reason: "json-too-many-values" },
    [
      [
        "a million labels",
        Buffer.from(
          `{"config":{"Labels":{${Array.from({ length: 600_000 }, (_, at) => `"${at}":""`).join()}}}}`,
        ),
      ],
    ],
  ),
  ...answers<object>("O-run", (value) => Object.keys(parseRunConfig(json({ config: value })).labels), [
    ["no labels", { Labels: null }, []],
    ["a label __proto__", JSON.parse(`{"Labels":{"__proto__":"x"}}`), ["__proto__"]],
    ["a label of 10 MiB", { Labels: { a: "x".repeat(10 << 20) } }, ["a"]],
  ]),
];

const profile = { defaultAction: "SCMP_ACT_ERRNO", architectures: [], syscalls: [] };
const seccompCases: readonly GateCase[] = refusals<unknown>(
  {
    group: "O-sec",
    run: (value) => parseSeccompProfile(json(value)),
    code: "INVALID_ARGUMENT",
    reason: "seccomp-profile-invalid",
  },
  [
    ["a list", []],
    ["no default action", { ...profile, defaultAction: undefined }],
    ["an action of another form", { ...profile, defaultAction: "ALLOW" }],
    ["an action with a line break", { ...profile, defaultAction: "SCMP_ACT_ALLOW\n" }],
    ["an action in lower case", { ...profile, defaultAction: "scmp_act_allow" }],
    ["syscalls that are an object", { ...profile, syscalls: {} }],
    ["a rule that is a text", { ...profile, syscalls: ["read"] }],
    ["a rule without names", { ...profile, syscalls: [{ names: [], action: "SCMP_ACT_ALLOW" }] }],
    ["a rule with a number as name", { ...profile, syscalls: [{ names: [5], action: "SCMP_ACT_ALLOW" }] }],
    ["a negative errno", { ...profile, defaultErrnoRet: -1 }],
    ["an errno of 1.5", { ...profile, defaultErrnoRet: 1.5 }],
    [
      "an argument without an operation",
      { ...profile, syscalls: [{ names: ["a"], action: "SCMP_ACT_ALLOW", args: [{ index: 0 }] }] },
    ],
  ],
);

/** What an image says of its process. */
export const processCases: readonly GateCase[] = [...userCases, ...runConfigCases, ...seccompCases];
