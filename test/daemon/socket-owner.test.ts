import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { socketOwner } from "../../src/daemon/socket-owner.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { unmountBelow } from "../../testing/rig/containerd.js";
import { startDaemon } from "../../testing/rig/daemon.js";

const STRANGER = 54_321;
const GROUP = 54_322;

/** Connects as somebody else; the exit code tells whether the kernel let it. */
async function connectAs(ids: { uid: number; gid: number }, address: string): Promise<number | null> {
  const program = `process.setgroups([]); process.setgid(${ids.gid}); process.setuid(${ids.uid});
    require("node:net").connect(${JSON.stringify(address)})
      .on("connect", () => process.exit(0))
      .on("error", ({ code }) => process.exit(code === "EACCES" ? 13 : 1));`;
  return (await command(process.execPath, ["-e", program], { allow: [1, 13] })).code;
}

t.test("lazuli daemon lets in its group and nobody else", async (t) => {
  await using cleanup = new Cleanup();
  const folder = await mkdtemp(join(tmpdir(), "lazuli-owner-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  cleanup.add(() => unmountBelow(folder));
  await chmod(folder, 0o711);
  const open = join(folder, "open");
  await mkdir(open);
  await chmod(open, 0o711);
  const address = join(open, "api.sock");
  const daemon = await startDaemon({ folder, address, config: `gid = ${GROUP}\n` });
  cleanup.add(() => daemon.stop());
  const { mode, uid, gid } = await stat(address);
  t.strictSame({ mode: mode & 0o777, uid, gid }, { mode: 0o660, uid: 0, gid: GROUP });
  t.equal(await connectAs({ uid: STRANGER, gid: GROUP }, address), 0, "a member of the group");
  t.equal(await connectAs({ uid: STRANGER, gid: STRANGER }, address), 13, "a stranger");
});

t.test("socketOwner() finds the group by its name", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-owner-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const groupFile = join(folder, "group");
  await writeFile(groupFile, "root:x:0:\nbox:x:77:a,b\nbroken:x\n");
  const at = { uid: 0, gid: 0, groupFile };
  t.strictSame(await socketOwner({ ...at, group: "box" }), { uid: 0, gid: 77 });
  t.strictSame(await socketOwner({ ...at, uid: 5, gid: 6, group: undefined }), { uid: 5, gid: 6 });
  t.equal(await socketOwner({ ...at, group: undefined }), undefined, "nobody but who runs it");
  for (const group of ["broken", "none"]) {
    await t.rejects(socketOwner({ ...at, group }), { code: "NOT_FOUND", reason: "group-missing" });
  }
});
