import { join } from "node:path";
import t from "tap";
import { connect, type RuntimeSpec, type SpecOption, withSeccomp } from "../../src/client/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { startContainerd } from "../../testing/rig/containerd.js";
import { boxArchive, boxImage, temporaryFolder } from "./client-rig.js";

t.setTimeout(120_000);

/** Masked since containerd 1.7. */
const NEW_MASK = "/sys/devices/virtual/powercap";

interface Comparable {
  readonly spec: unknown;
  readonly syscalls: readonly string[];
}

/** Without what differs for a reason: the version of the specification, the cgroup's name, and a newer masked path. */
function comparable(spec: RuntimeSpec): Comparable {
  const { seccomp, cgroupsPath: _, maskedPaths = [], ...linux } = spec.linux;
  return {
    spec: {
      ...spec,
      ociVersion: "",
      linux: { ...linux, maskedPaths: maskedPaths.filter((path) => path !== NEW_MASK) },
    },
    syscalls: seccomp?.syscalls.filter(({ args }) => args === undefined).flatMap(({ names }) => names) ?? [],
  };
}

t.test("createContainer() makes the specification that `ctr run` makes of the same image", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await temporaryFolder(cleanup);
  const archive = await boxArchive(folder);
  const containerd = await startContainerd({ folder: join(folder, "server") });
  cleanup.add(() => containerd.stop());
  using client = connect({ address: containerd.address, namespace: "default" });
  const image = await client.import(archive);
  const cases: readonly (readonly [string, readonly string[], readonly SpecOption[]])[] = [
    ["plain", [], []],
    ["filtered", ["--seccomp"], [withSeccomp()]],
  ];
  for (const [id, flags, options] of cases) {
    await containerd.ctr(["containers", "create", ...flags, boxImage, `ctr-${id}`, "sleep", "9"]);
    const theirs = comparable((await client.container(`ctr-${id}`)).spec);
    const own = await client.createContainer({ id: `own-${id}`, image, args: ["sleep", "9"], options });
    const ours = comparable(own.spec);
    t.same(ours.spec, theirs.spec, id);
    const missing = theirs.syscalls.filter((name) => !ours.syscalls.includes(name));
    // Debian's 1.6 allows what newer releases leave to the capability that the kernel asks for.
    const leftOut = ["io_uring_enter", "io_uring_register", "io_uring_setup", "socket", "syslog"];
    t.same(
      missing.filter((name) => !leftOut.includes(name)),
      [],
      `${id}: calls`,
    );
  }
});
