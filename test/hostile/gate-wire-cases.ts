import { devicesOfAnnotations } from "../../src/cdi/index.js";
import { parseCdiSpec } from "../../src/cdi/parse-spec.js";
import { parseNetworkList } from "../../src/cni/network-list.js";
import { parseResult } from "../../src/cni/result.js";
import { signalNumber } from "../../src/cri/signal-number.js";
import { parseFilters } from "../../src/filters/index.js";
import { parseGoDuration, parseRfc3339, readLabel } from "../../src/gc/index.js";
import { parseIdRanges, parseMountInfo } from "../../src/mounts/index.js";
import { planMount } from "../../src/mounts/mount-plan.js";
import { parsePluginName } from "../../src/nri/plugin-name.js";
import { parseEncryption, parseKeySpec } from "../../src/ocicrypt/index.js";
import { parseBootstrap } from "../../src/runtime/bootstrap.js";
import { FrameReader } from "../../src/ttrpc/frame.js";
import { answers, type GateCase, json, refusals } from "./gate-case.js";

const bootstrap = (text: string): unknown => parseBootstrap(Buffer.from(text, "latin1"));
const shimCases: readonly GateCase[] = [
  ...refusals<string>({ group: "A-shim", run: bootstrap, code: "INTERNAL", reason: "shim-bad-answer" }, [
    ["nothing", ""],
    ["spaces", "   \n"],
    ["an unfinished object", '{"version":3,"addr'],
    ["an object without an address", '{"version":3}'],
    ["an address that is a number", '{"version":3,"address":5}'],
    ["an address of 5000 characters", `{"version":3,"address":"${"a".repeat(5000)}"}`],
    ["a plain text of a megabyte", "a".repeat(1 << 20)],
    ["an unfinished message", "\x08\x03\x12\xff"],
    ["a message with an endless number", `\x08${"\xff".repeat(20)}`],
    ["a message with an unknown wire type", "\x0f\x00"],
    ["100,000 lists in each other", `{"a":${"[".repeat(100_000)}`],
  ]),
  ...refusals<string>(
    { group: "A-shim", run: bootstrap, code: "UNIMPLEMENTED", reason: "shim-version-unsupported" },
    [
      ["version 0", '{"version":0,"address":"unix:///a"}'],
      ["version 4", '{"version":4,"address":"unix:///a"}'],
      ["version as text", '{"version":"3","address":"unix:///a"}'],
      ["no version", '{"address":"unix:///a"}'],
    ],
  ),
  ...refusals<string>(
    { group: "A-shim", run: bootstrap, code: "UNIMPLEMENTED", reason: "shim-protocol-unknown" },
    [
      ["another protocol", '{"version":3,"address":"unix:///a","protocol":"http"}'],
      ["a protocol that is a list", '{"version":3,"address":"unix:///a","protocol":["grpc"]}'],
    ],
  ),
];

const frames = (bytes: Buffer): unknown =>
  [...new FrameReader().push(bytes)].map(({ streamId, type, body }) => [streamId, type, body?.length]);
const header = (length: number, streamId: number, type: number): Buffer => {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(streamId, 4);
  bytes.writeUInt8(type, 8);
  return bytes;
};
const frameCases: readonly GateCase[] = answers<Buffer>("A-ttrpc", frames, [
  ["nothing", Buffer.alloc(0), []],
  ["nine bytes of a header", Buffer.alloc(9), []],
  ["a length of 4 GiB allocates nothing", header(0xffff_ffff, 1, 1), [[1, 1, undefined]]],
  ["a length of 4 MiB and a byte", header((4 << 20) + 1, 1, 1), [[1, 1, undefined]]],
  ["a length of 4 MiB waits for its bytes", header(4 << 20, 1, 1), []],
  ["an unknown type", header(0, 1, 255), [[1, 255, 0]]],
  ["the last stream", header(0, 0xffff_ffff, 1), [[0xffff_ffff, 1, 0]]],
  ["zeros: a frame of nothing for each ten", Buffer.alloc(30), Array(3).fill([0, 0, 0])],
  [
    "what follows a frame that is too long is dropped with it",
    Buffer.concat([header(0xffff_ffff, 1, 1), header(0, 3, 1)]),
    [[1, 1, undefined]],
  ],
]);

const network = { cniVersion: "1.0.0", name: "net", plugins: [{ type: "bridge" }] };
const list = (value: unknown): unknown => parseNetworkList(json(value), "net.conflist");
const cniCases: readonly GateCase[] = [
  ...refusals<unknown>(
    { group: "A-cni", run: list, code: "INVALID_ARGUMENT", reason: "cni-config-invalid" },
    [
      ["null", null],
      ["a list", [network]],
      ["no name", { ...network, name: undefined }],
      ["a name that leads up", { ...network, name: "../net" }],
      ["a name with a line break", { ...network, name: "net\n" }],
      ["a name that is a number", { ...network, name: 5 }],
      ["a version of another form", { ...network, cniVersion: "1" }],
      ["a version that is a number", { ...network, cniVersion: 1 }],
      ["no plugins", { ...network, plugins: [] }],
      ["plugins that are an object", { ...network, plugins: {} }],
      ["10,000 plugins", { ...network, plugins: Array(10_000).fill({ type: "bridge" }) }],
      ["a plugin that leads up", { ...network, plugins: [{ type: "../../bin/sh" }] }],
      ["a plugin with a path", { ...network, plugins: [{ type: "/bin/sh" }] }],
      ["a plugin with a NUL", { ...network, plugins: [{ type: "sh\0" }] }],
      ["a plugin that is a text", { ...network, plugins: ["bridge"] }],
      ["a plugin without a type", { ...network, plugins: [{}] }],
    ],
  ),
  ...answers<object>("A-cni", (raw) => parseResult(raw as Record<string, unknown>).addresses.length, [
    ["an empty result", {}, 0],
    ["ips that are a text", { ips: "10.0.0.1" }, 0],
    ["ips of null", { ips: [null] }, 0],
    ["an address that is a number", { ips: [{ address: 5 }] }, 0],
    ["an interface of -1", { ips: [{ address: "10.0.0.1/8", interface: -1 }] }, 1],
    ["an interface of 2^53", { ips: [{ address: "10.0.0.1/8", interface: 2 ** 53 }] }, 1],
    ["interfaces that are a list of lists", { interfaces: [[]], ips: [] }, 0],
    ["name servers that are objects", { dns: { nameservers: [{}] } }, 0],
  ]),
];

const spec = {
  cdiVersion: "0.6.0",
  kind: "a.example/gpu",
  devices: [{ name: "0", containerEdits: { env: ["A=B"] } }],
};
const cdi = (value: unknown): string => parseCdiSpec(json(value), "json").kind;
const cdiCases: readonly GateCase[] = [
  ...refusals<unknown>({ group: "A-cdi", run: cdi, code: "INVALID_ARGUMENT", reason: "cdi-spec-invalid" }, [
    ["null", null],
    ["a list", []],
    ["no kind", { ...spec, kind: undefined }],
    ["a kind without a class", { ...spec, kind: "a.example" }],
    ["a kind that leads up", { ...spec, kind: "../gpu" }],
    ["no devices", { ...spec, devices: [] }],
    ["a device twice", { ...spec, devices: [spec.devices[0], spec.devices[0]] }],
    ["a device with a slash", { ...spec, devices: [{ ...spec.devices[0], name: "a/b" }] }],
    ["a device without edits", { ...spec, devices: [{ name: "0", containerEdits: {} }] }],
    ["a key that nobody knows", { ...spec, more: 1 }],
    ["a version that does not exist", { ...spec, cdiVersion: "99.0.0" }],
    ["edits that are a list", { ...spec, containerEdits: [] }],
    ["a variable without an equals sign", { ...spec, containerEdits: { env: ["A"] } }],
    ["a device node without a path", { ...spec, containerEdits: { deviceNodes: [{}] } }],
  ]),
  ...refusals<string>(
    {
      group: "A-cdi",
      run: (text) => parseCdiSpec(Buffer.from(text), "yaml"),
      code: "INVALID_ARGUMENT",
      reason: "cdi-spec-invalid",
    },
    [
      [
        "aliases in aliases",
        `a: &a [x,x]\n${Array.from({ length: 30 }, (_, at) => `b${at}: &b${at} [*${at === 0 ? "a" : `b${at - 1}`}, *${at === 0 ? "a" : `b${at - 1}`}]`).join("\n")}`,
      ],
      ["10,000 lists in each other", "[".repeat(10_000)],
      ["two documents", "a: 1\n---\nb: 2"],
      ["2 MiB", `# ${"x".repeat(2 << 20)}`],
      ["a tag of code", "a: !!js/function 'x'"],
    ],
  ),
  ...refusals<string>(
    {
      group: "A-cdi",
      run: (name) => devicesOfAnnotations({ "cdi.k8s.io/a": name }),
      code: "INVALID_ARGUMENT",
      reason: "cdi-name-invalid",
    },
    [
      ["an empty name", ""],
      ["a name without a device", "a.example/gpu"],
      ["a name that leads up", "../gpu=0"],
      ["a device with a line break", "a.example/gpu=0\n"],
      ["a comma too much", "a.example/gpu=0,"],
    ],
  ),
];

const filterCases: readonly GateCase[] = [
  ...refusals<string>(
    {
      group: "A-filter",
      run: (text) => parseFilters([text]),
      code: "INVALID_ARGUMENT",
      reason: "filter-invalid",
    },
    [
      ["an operator only", "=="],
      ["an unknown operator", "name===a"],
      ["an unfinished quote", 'name=="a'],
      ["a comma behind", "name==a,"],
      ["a field that begins with a digit", "1name==a"],
      ["two dots", "a..b==c"],
      ["an unfinished pattern", "name~=/a"],
      ["a pattern that repeats nothing", "name~=/*a/"],
      ["an unfinished group", "name~=/(a/"],
      ["an unfinished class", "name~=/[a/"],
      ["a look-ahead", "name~=/(?=a)/"],
      ["a back reference", "name~=/(a)\\1/"],
      ["10,000 groups in each other", `name~=/${"(".repeat(10_000)}${")".repeat(10_000)}/`],
      ["repeats of repeats of repeats", "name~=/((a{1000}){1000}){1000}/"],
    ],
  ),
  ...answers<string>(
    "A-filter",
    (pattern) => parseFilters([`name~=/${pattern}/`])(() => `${"a".repeat(5000)}b`),
    [
      ["(a+)+$ on 5000 letters", "(a+)+$", false],
      ["(a|a)*$ on 5000 letters", "(a|a)*$", true],
      ["(a|aa)+$ on 5000 letters", "(a|aa)+$", false],
      ["(.*)*c on 5000 letters", "(.*)*c", false],
      ["a?{30}a{30}", `${"a?".repeat(30)}${"a".repeat(30)}`, true],
    ],
  ),
];

const labelCases: readonly GateCase[] = [
  ...answers<readonly [string, string]>("A-gc", ([label, value]) => readLabel(label, value), [
    ["another label", ["containerd.io/other", "x"], undefined],
    ["the prefix only", ["containerd.io/gc.", "x"], undefined],
    ["a reference to nothing", ["containerd.io/gc.ref.", "x"], undefined],
    ["a reference to an unknown sort", ["containerd.io/gc.ref.lease", "x"], undefined],
    ["a name that goes on", ["containerd.io/gc.ref.contentx", "x"], undefined],
    [
      "a snapshot without a snapshotter",
      ["containerd.io/gc.ref.snapshot.", "x"],
      { kind: "to", sort: "snapshot/", key: "x" },
    ],
    ["an end that is no time", ["containerd.io/gc.expire", "tomorrow"], undefined],
    ["an end on 30 February", ["containerd.io/gc.expire", "2026-02-30T00:00:00Z"], undefined],
    ["an end in the year 99999", ["containerd.io/gc.expire", "99999-01-01T00:00:00Z"], undefined],
    ["an end of a megabyte", ["containerd.io/gc.expire", "9".repeat(1 << 20)], undefined],
    ["a back reference to an unknown sort", ["containerd.io/gc.bref.lease", "x"], undefined],
  ]),
  ...answers<string>("A-gc", parseGoDuration, [
    ["no unit", "5", undefined],
    ["a unit only", "s", undefined],
    ["two signs", "--5s", undefined],
    ["2^63 nanoseconds", "9223372036854775808ns", undefined],
    ["a megabyte of digits", "1".repeat(1 << 20), undefined],
    ["a thousand years in hours is too long", "9000000h", undefined],
  ]),
  ...answers<string>("A-gc", parseRfc3339, [
    ["a leap second", "2016-12-31T23:59:60Z", undefined],
    ["no zone", "2016-12-31T23:59:59", undefined],
    ["month 13", "2016-13-01T00:00:00Z", undefined],
  ]),
];

const mount = (options: readonly string[], type = "overlay"): unknown =>
  planMount({ type, source: "overlay", target: "", options });
const mountCases: readonly GateCase[] = [
  ...refusals<string>(
    { group: "A-mount", run: parseIdRanges, code: "INVALID_ARGUMENT", reason: "id-mapping-invalid" },
    [
      ["nothing", ""],
      ["two numbers", "0:1"],
      ["four numbers", "0:1:2:3"],
      ["a negative number", "-1:0:1"],
      ["no ids", "0:0:0"],
      ["ids up to 2^32", "0:1:4294967295"],
      ["an id of 2^32", "4294967296:0:1"],
      ["2^63 ids", "0:0:9223372036854775808"],
      ["ranges that overlap inside", "0:0:10,5:100:10"],
      ["ranges that overlap outside", "0:0:10,100:5:10"],
      ["a comma behind", "0:0:1,"],
      ["hex", "0x0:0:1"],
      ["341 ranges", Array.from({ length: 341 }, (_, at) => `${at}:${at}:1`).join()],
      ["a megabyte", "0:0:1,".repeat(200_000)],
      ["a line break", "0:0:1\n"],
    ],
  ),
  ...refusals<string>(
    {
      group: "A-mount",
      run: (option) => mount([option]),
      code: "INVALID_ARGUMENT",
      reason: "mount-options-invalid",
    },
    [["an option with a NUL", "lowerdir=/a\0"]],
  ),
  ...refusals<string>(
    {
      group: "A-mount",
      run: (type) => mount([], type),
      code: "UNIMPLEMENTED",
      reason: "mount-option-unsupported",
    },
    [
      ["a type with a slash", "fuse/../../bin/sh"],
      ["a type of another program", "mkfs/ext4"],
    ],
  ),
  ...answers<string>("A-mount", (text) => parseMountInfo(text).length, [
    ["mounts: nothing", "", 0],
    ["a line without a dash", "1 2 3:4 / / rw", 0],
    ["dashes only", "- - - - - - - - -", 1],
    ["a line of a megabyte", "a".repeat(1 << 20), 0],
    ["100,000 line breaks", "\n".repeat(100_000), 0],
  ]),
];

const nameCases: readonly GateCase[] = [
  ...refusals<string>(
    { group: "A-nri", run: parsePluginName, code: "INVALID_ARGUMENT", reason: "nri-bad-name" },
    [
      ["nothing", ""],
      ["no number", "name"],
      ["one digit", "1-name"],
      ["three digits", "100-name"],
      ["a name that leads up", "10-../../bin/sh"],
      ["no name", "10-"],
      ["a name of 129 letters", `10-${"a".repeat(129)}`],
      ["a NUL", "10-a\0"],
      ["a line break", "10-a\n"],
    ],
  ),
  ...refusals<string>(
    { group: "O-stop", run: signalNumber, code: "INVALID_ARGUMENT", reason: "signal-invalid" },
    [
      ["nothing", ""],
      ["0", "0"],
      ["65", "65"],
      ["-9", "-9"],
      ["a command", "SIGKILL; rm -rf /"],
      ["a line break", "SIGKILL\n"],
      ["a name of a method", "constructor"],
      ["behind the last", "SIGRTMAX+1"],
      ["before the first", "SIGRTMIN-9"],
      ["9.0", "9.0"],
      ["digits of another script", "٩"],
      ["a megabyte", "SIG".repeat(1 << 18)],
    ],
  ),
  ...refusals<string>(
    { group: "O-enc", run: parseKeySpec, code: "INVALID_ARGUMENT", reason: "decryption-key-place-invalid" },
    [
      ["nothing", ""],
      ["a relative path", "key.pem"],
      ["a NUL", "/key\0.pem"],
      ["a descriptor", "/key.pem:fd=3"],
      ["a password file with a relative path", "/key.pem:file=secret"],
    ],
  ),
  ...refusals<Record<string, string>>(
    {
      group: "O-enc",
      run: parseEncryption,
      code: "INVALID_ARGUMENT",
      reason: "encryption-annotations-invalid",
    },
    [
      ["no annotations", {}],
      ["a key that is no base64", { "org.opencontainers.image.enc.keys.jwe": "!!!" }],
      ["a key without options", { "org.opencontainers.image.enc.keys.jwe": "YQ==" }],
      [
        "options that are a list",
        { "org.opencontainers.image.enc.keys.jwe": "YQ==", "org.opencontainers.image.enc.pubopts": "W10=" },
      ],
      ["65 keys", { "org.opencontainers.image.enc.keys.jwe": Array(65).fill("YQ==").join() }],
    ],
  ),
  ...refusals<Record<string, string>>(
    { group: "O-enc", run: parseEncryption, code: "UNIMPLEMENTED", reason: "encryption-scheme-unknown" },
    [
      ["a provider's key only", { "org.opencontainers.image.enc.keys.provider.x": "YQ==" }],
      [
        "another cipher",
        {
          "org.opencontainers.image.enc.keys.jwe": "YQ==",
          "org.opencontainers.image.enc.pubopts": Buffer.from('{"cipher":"NONE"}').toString("base64"),
        },
      ],
    ],
  ),
  ...refusals<Record<string, string>>(
    {
      group: "O-enc",
      run: parseEncryption,
      code: "RESOURCE_EXHAUSTED",
      reason: "encryption-annotations-too-large",
    },
    [["33 KiB", { "org.opencontainers.image.enc.keys.jwe": "a".repeat(33 * 1024) }]],
  ),
];

/** What programs and clients of the node say: shims, plugins, filters, labels, mounts, names. */
export const wireCases: readonly GateCase[] = [
  ...shimCases,
  ...frameCases,
  ...cniCases,
  ...cdiCases,
  ...filterCases,
  ...labelCases,
  ...mountCases,
  ...nameCases,
];
