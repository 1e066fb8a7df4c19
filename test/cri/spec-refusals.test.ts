import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import t from "tap";
import { ContainerConfigSchema, PodSandboxConfigSchema } from "../../gen/runtime/v1/api_pb.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { buildContainer, refusalOf } from "./spec-build.js";
import { testHost } from "./spec-host.js";

/** What containerd 2.4 answers to a config that it refuses, by its CRI socket. Ids are written ID. */
interface Recorded {
  readonly name: string;
  readonly pod: JsonValue;
  readonly container: JsonValue;
  readonly message: string;
}

const recorded: readonly Recorded[] = readFileSync(
  join(projectRoot, "test/cri/recorded-refusals.jsonl"),
  "utf8",
)
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));

/** Where the words are others: containerd prints a whole message of Go's there, or less than an operator needs. */
const otherWords: Readonly<Record<string, RegExp>> = {
  "unknown user": /^no users found: the image's \/etc\/passwd has no "ghost"$/,
  "seccomp missing file": /^cannot load seccomp profile "\/nope": /,
  "empty host path": /^failed to mkdir "": /,
  "image volume writable": /^ImageVolumeMountFailed: readonly must be true while mount image/,
  "image volume with host path": /^ImageVolumeMountFailed: hostpath must be empty while mount image/,
  "image volume without name": /^ImageVolumeMountFailed: image not specified/,
  "image sub path up":
    /^ImageVolumeMountFailed: failed to ensure image subpath "\.\.\/x": path escapes from parent/,
  "image sub path file":
    /^ImageVolumeMountFailed: failed to ensure image subpath "etc\/passwd": only directory subpath is supported/,
  "no device": /^Cannot use the device .*: not a device node$/,
  "missing device": /^Cannot use the device /,
  rdt: /^failed to set RDT class: RDT disabled, refusing to set RDT class of container "web" to "gold"$/,
  "userns differs":
    /^user namespace config for sandbox is different from container\. Sandbox userns config: none/,
  "groups policy": /SupplementalGroupsPolicy=7$/,
};

const host = testHost({
  mounts: [
    { target: "/node/private", propagation: [] },
    { target: "/node/shared", propagation: ["shared:1"] },
  ],
  files: { "/mounted/registry.k8s.io/e2e-test-images/busybox:1.29-2/etc/passwd": "" },
});

/** CDI's devices are put in by the registry behind it. */
for (const one of recorded.filter(({ name }) => name !== "cdi unknown")) {
  t.test(`containerSpec() refuses as containerd does: ${one.name}`, async (t) => {
    const config = fromJson(ContainerConfigSchema, one.container);
    const pod = fromJson(PodSandboxConfigSchema, one.pod);
    const refusal = await refusalOf(buildContainer({ config, pod, host }));
    const words = otherWords[one.name];
    if (words !== undefined) t.match(refusal?.message ?? "accepted", words);
    else t.ok(one.message.includes(refusal?.message ?? "accepted"), `${refusal?.message} in ${one.message}`);
    t.not(refusal?.code, "INTERNAL");
  });
}
