import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { loadBinding } from "../../src/fuse/index.js";
import { command } from "../../testing/rig/command.js";

const { containers } = loadBinding();

t.test("readFile() reads regular files whose links stay below the root", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-rooted-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const root = join(folder, "root");
  await mkdir(join(root, "etc"), { recursive: true });
  await writeFile(join(folder, "secret"), "secret");
  await writeFile(join(root, "etc/real"), "inside");
  await writeFile(join(root, "etc/empty"), "");
  await symlink("/etc/real", join(root, "etc/passwd"));
  await symlink("../../../secret", join(root, "etc/up"));
  await symlink(join(folder, "secret"), join(root, "etc/out"));
  await symlink("loop", join(root, "etc/loop"));
  await command("mkfifo", [join(root, "etc/fifo")]);
  const read = async (path: string, bytesMax = 100) =>
    (await containers.readFile(root, path, bytesMax))?.toString();
  t.equal(await read("etc/passwd"), "inside", "absolute links begin at the root");
  t.equal(await read("etc/empty"), "");
  t.equal(await read("etc/real", 6), "inside");
  t.equal(await read("etc/real", 5), undefined, "one byte too many");
  for (const path of ["etc/up", "etc/out", "etc/loop", "etc/fifo", "etc", "etc/none", "etc/real/x"]) {
    t.equal(await read(path), undefined, path);
  }
  await t.rejects(containers.readFile(join(folder, "none"), "x", 1), { code: "ENOENT" });
});

t.test("connect() reaches ports of our own namespace by IPv4, else by IPv6", async (t) => {
  for (const host of ["127.0.0.1", "::1"]) {
    const server = createServer((socket) => socket.end("hello")).listen(0, host);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    for (const namespace of ["", "/proc/self/ns/net"]) {
      const socket = new Socket({ fd: await containers.connect(namespace, port), readable: true });
      const [bytes] = (await once(socket, "data")) as [Buffer];
      t.equal(bytes.toString(), "hello", `${host} in ${namespace}`);
      socket.destroy();
    }
    server.close();
    await once(server, "close");
    await t.rejects(containers.connect("", port), { code: "ECONNREFUSED" });
  }
  await t.rejects(containers.connect("/none", 1), { code: "ENOENT", syscall: "open" });
  await t.rejects(containers.connect("/proc/self/ns/mnt", 1), { code: "EINVAL", syscall: "setns" });
});
