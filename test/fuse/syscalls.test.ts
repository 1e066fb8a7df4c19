import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { loadBinding } from "../../src/fuse/index.js";

const binding = loadBinding();
const MNT_DETACH = 2;
const AT_FDCWD = -100;
const RESOLVE_BENEATH = 8;
const RESOLVE_NO_SYMLINKS = 4;
const MOUNT_ATTR_RDONLY = 1;
const O_PATH = 0o10000000;

const folder = mkdtempSync(join(tmpdir(), "lazuli-syscalls-"));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

function target(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

function isCloseOnExec(fd: number): boolean {
  const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))![1]!;
  return (Number.parseInt(flags, 8) & 0o2000000) !== 0;
}

t.test("mount() and umount() change what a folder shows", async (t) => {
  const path = target("old");
  await binding.mount("none", path, "tmpfs", 0, "size=64k,mode=700");
  t.equal(statSync(path).mode & 0o777, 0o700);
  writeFileSync(join(path, "inside"), "");
  await binding.umount(path, MNT_DETACH);
  t.same(readdirSync(path), []);
});

t.test("fsmount() takes options one by one, flags and attributes", async (t) => {
  const path = target("new");
  const options = [
    ["source", "none"],
    ["mode", "711"],
    ["noswap", undefined],
  ] as const;
  await binding.fsmount("tmpfs", options, MOUNT_ATTR_RDONLY, path);
  t.teardown(() => binding.umount(path, MNT_DETACH));
  t.equal(statSync(path).mode & 0o777, 0o711);
  t.throws(() => writeFileSync(join(path, "inside"), ""), { code: "EROFS" });
});

t.test("fsmount() passes on what the kernel says", async (t) => {
  const path = target("refused");
  const refused = (options: readonly (readonly [string, string | undefined])[], type = "tmpfs") =>
    binding.fsmount(type, options, 0, path);
  const unknown = {
    code: "EINVAL",
    syscall: "fsconfig",
    errno: -22,
    message: /Unknown parameter 'nonsense'/,
  };
  await t.rejects(refused([["nonsense", "1"]]), unknown);
  await t.rejects(refused([["size", "9".repeat(300)]]), { code: "EINVAL", message: /more than 255 bytes/ });
  await t.rejects(refused([], "no-such-type"), {
    code: "ENODEV",
    syscall: "fsopen",
    message: /no-such-type/,
  });
  await t.rejects(binding.fsmount("tmpfs", [], 0, join(folder, "missing")), {
    code: "ENOENT",
    syscall: "move_mount",
  });
});

t.test("failed calls tell their errno and their name", async (t) => {
  const missing = join(folder, "missing");
  await t.rejects(binding.mount("none", missing, "tmpfs", 0, ""), {
    code: "ENOENT",
    errno: -2,
    syscall: "mount",
  });
  await t.rejects(binding.umount(missing, 0), { code: "ENOENT", syscall: "umount2" });
  await t.rejects(binding.syncfs(2 ** 30), { code: "EBADF", syscall: "syncfs" });
  t.throws(() => binding.mount("none", `${missing}\0x`, "tmpfs", 0, ""), { code: "ERR_INVALID_ARG_VALUE" });
  t.throws(() => binding.umount(missing, -1), { code: "ERR_INVALID_ARG_VALUE" });
});

t.test("more calls than threads are all answered", async (t) => {
  const path = target("many");
  await Promise.all(Array.from({ length: 100 }, () => binding.mount("none", path, "tmpfs", 0, "size=4k")));
  // One after the other: two that run at once may find the same mount on top, and one of them fails.
  for (let count = 0; count < 100; count += 1) await binding.umount(path, MNT_DETACH);
  await t.rejects(binding.umount(path, 0), { code: "EINVAL" });
});

t.test("openat2() stays beneath its folder", async (t) => {
  const path = target("beneath");
  writeFileSync(join(path, "file"), "");
  const dirFd = openSync(path, "r");
  t.teardown(() => closeSync(dirFd));
  const opened = binding.openat2(dirFd, "file", 0, 0, RESOLVE_BENEATH);
  t.ok(fstatSync(opened).isFile());
  t.ok(isCloseOnExec(opened));
  closeSync(opened);
  closeSync(binding.openat2(AT_FDCWD, path, O_PATH, 0, 0));
  const leave = () => binding.openat2(dirFd, "../many", 0, 0, RESOLVE_BENEATH);
  t.throws(leave, { code: "EXDEV", syscall: "openat2" });
  t.throws(() => binding.openat2(dirFd, "/proc/self/exe", 0, 0, RESOLVE_NO_SYMLINKS), { code: "ELOOP" });
});

t.test("sendFds() and receiveFds() carry open files", async (t) => {
  const [left, right] = binding.socketPair();
  t.ok(isCloseOnExec(left) && isCloseOnExec(right));
  const sent = openSync("/proc/self/status", "r");
  const receiving = binding.receiveFds(right, 100, 2);
  binding.sendFds(left, Buffer.from("hello"), [sent, sent]);
  const { data, fds } = await receiving;
  t.equal(data.toString(), "hello");
  t.equal(fds.length, 2);
  for (const fd of fds) {
    t.equal(fstatSync(fd).ino, fstatSync(sent).ino);
    t.ok(isCloseOnExec(fd));
    closeSync(fd);
  }
  const before = readdirSync("/proc/self/fd").length;
  binding.sendFds(left, Buffer.from("too many"), [sent, sent, sent]);
  await t.rejects(binding.receiveFds(right, 100, 2), { code: "EMSGSIZE", syscall: "recvmsg" });
  t.equal(readdirSync("/proc/self/fd").length, before, "none of a refused message stays open");
  t.throws(() => binding.sendFds(left, Buffer.alloc(0), [sent]), { code: "EINVAL" });
  closeSync(sent);
  closeSync(left);
  t.same(
    await binding.receiveFds(right, 100, 2),
    { data: Buffer.alloc(0), fds: [] },
    "the end of the stream",
  );
  closeSync(right);
});

t.test("sendFds() sends all of a long message", async (t) => {
  const [left, right] = binding.socketPair();
  const long = Buffer.alloc(150_000, "long");
  binding.sendFds(left, long, []);
  closeSync(left);
  const parts: Buffer[] = [];
  for (let last = 1; last > 0; last = parts.at(-1)!.length) {
    parts.push((await binding.receiveFds(right, 40_000, 0)).data);
  }
  t.ok(Buffer.concat(parts).equals(long));
  closeSync(right);
});

t.test("realtimeNanoseconds() is the clock of the system", async (t) => {
  const [before, now, after] = [Date.now(), binding.realtimeNanoseconds(), Date.now()];
  t.ok(now >= BigInt(before) * 1_000_000n && now < BigInt(after + 1) * 1_000_000n);
});

t.test("sendDatagram() refuses what is no socket", async (t) => {
  const path = join(folder, "stream");
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  t.throws(() => binding.sendDatagram(path, Buffer.from("x")), { code: "EPROTOTYPE", syscall: "connect" });
  t.throws(() => binding.sendDatagram(join(folder, "none"), Buffer.from("x")), { code: "ENOENT" });
  t.throws(() => binding.sendDatagram("p".repeat(108), Buffer.from("x")), { code: "ENAMETOOLONG" });
  server.close();
});
