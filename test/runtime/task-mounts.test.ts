import t from "tap";
import { alreadyExists, unimplemented } from "../../src/errors/index.js";
import type { ActivateMounts, Activation } from "../../src/mounts/index.js";
import type { CreateTask, RuntimeInfo } from "../../src/runtime/index.js";
import { TaskMounts } from "../../src/runtime/task-mounts.js";

const plain = { type: "bind", source: "/a", target: "", options: ["rbind"] };
const special = { type: "format/mkdir/overlay", source: "overlay", target: "", options: [] };
const left = { type: "overlay", source: "overlay", target: "", options: [] };

function rig(options: { readonly failure?: Error; readonly annotations?: Record<string, string> } = {}) {
  const asked: ActivateMounts[] = [];
  const gone: string[] = [];
  const activation: Activation = { name: "c", active: [], system: [left], labels: {} };
  const mounts = new TaskMounts({
    manager: {
      activate: async (request) => {
        asked.push(request);
        if (options.failure !== undefined) throw options.failure;
        return activation;
      },
      info: () => activation,
      deactivate: async ({ name }) => void gone.push(name),
    },
    runtimeInfo: async () => {
      if (options.annotations === undefined) throw new Error("a shim without this command");
      return { annotations: options.annotations } as unknown as RuntimeInfo;
    },
  });
  const request = (...rootfs: CreateTask["rootfs"]) =>
    ({ namespace: "n", id: "c", runtime: "io.containerd.runc.v2", rootfs }) as unknown as CreateTask;
  return { mounts, asked, gone, request };
}

t.test("TaskMounts gives plain mounts to the shim without asking anybody", async (t) => {
  const { mounts, asked, request } = rig();
  t.same(await mounts.activate(request(plain), {}), [plain]);
  t.same(asked, []);
});

t.test("TaskMounts activates special mounts under the task's name, and takes them away", async (t) => {
  const { mounts, asked, gone, request } = rig({
    annotations: { "containerd.io/runtime-allow-mounts": "loop, mkdir/*" },
  });
  t.same(await mounts.activate(request(plain, special), {}), [left]);
  t.match(asked, [
    {
      namespace: "n",
      name: "c",
      mounts: [plain, special],
      labels: { "containerd.io/gc.bref.container": "c" },
      allowedTypes: ["loop", "mkdir/*"],
    },
  ]);
  await mounts.deactivate({ namespace: "n", id: "c" });
  t.same(gone, ["c"]);
});

t.test(
  "TaskMounts uses what is active under the name again, and leaves a shim what it handles",
  async (t) => {
    const again = rig({ failure: alreadyExists("mount c", { reason: "activation-exists" }) });
    t.same(await again.mounts.activate(again.request(special), {}), [left]);
    const handled = rig({ failure: unimplemented("not implemented", { reason: "mounts-plain" }) });
    t.same(await handled.mounts.activate(handled.request(special), {}), [special]);
    const broken = rig({ failure: new Error("broken") });
    await t.rejects(broken.mounts.activate(broken.request(special), {}), { message: "broken" });
  },
);
