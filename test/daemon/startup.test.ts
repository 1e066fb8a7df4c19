import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { ensurePrivateFolder } from "../../src/daemon/folders.js";
import { serviceManager } from "../../src/daemon/sd-notify.js";
import { removeStaleSocket } from "../../src/daemon/stale-socket.js";
import { Startup } from "../../src/daemon/startup.js";

t.test("Startup stops its parts in reverse, each even if another fails", async (t) => {
  const events: string[] = [];
  const startup = new Startup();
  for (const name of ["one", "two", "three"]) {
    await startup.part(
      name,
      () => name,
      (value) => {
        events.push(value);
        if (value === "two") throw new Error("it does not stop");
      },
    );
  }
  await t.rejects(
    startup.part("four", () => {
      throw new Error("it does not start");
    }),
    { message: "it does not start" },
  );
  await startup.stop();
  t.strictSame(events, ["three", "two", "one"]);
  await startup.stop();
  t.equal(events.length, 3, "nothing is stopped twice");
});

t.test("serviceManager() writes what sd_notify(3) reads, and nothing outside of systemd", async (t) => {
  const sent: [string, string][] = [];
  const send = (path: string, data: Uint8Array): void => {
    sent.push([path, Buffer.from(data).toString()]);
  };
  const manager = serviceManager({ socket: "@abstract", send });
  manager.ready("a\nb");
  manager.stopping();
  serviceManager({ socket: undefined, send }).ready("x");
  serviceManager({ socket: "vsock:2:1", send }).ready("x");
  t.strictSame(sent, [
    ["@abstract", "READY=1\nSTATUS=a b\n"],
    ["@abstract", "STOPPING=1\nSTATUS=Stopping\n"],
  ]);
  const failing = serviceManager({
    socket: "/gone",
    send: () => {
      throw new Error("ENOENT");
    },
  });
  t.doesNotThrow(() => failing.ready("x"), "the service goes on without its manager");
});

t.test("ensurePrivateFolder() makes a folder for us alone and refuses an open one", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-folders-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "a", "b");
  await ensurePrivateFolder(path);
  await ensurePrivateFolder(path);
  await mkdir(join(folder, "open"), { mode: 0o755 });
  await t.rejects(ensurePrivateFolder(join(folder, "open")), {
    code: "FAILED_PRECONDITION",
    reason: "folder-open",
  });
  await symlink(path, join(folder, "link"));
  await t.rejects(ensurePrivateFolder(join(folder, "link")), {
    code: "FAILED_PRECONDITION",
    reason: "folder-invalid",
  });
});

t.test("removeStaleSocket() removes an old socket and nothing else", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-socket-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await removeStaleSocket(join(folder, "none"));
  const file = join(folder, "file");
  await writeFile(file, "mine");
  await t.rejects(removeStaleSocket(file), { code: "FAILED_PRECONDITION", reason: "socket-path-taken" });
  const path = join(folder, "socket");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ path }, resolve));
  t.teardown(() => server.close());
  await removeStaleSocket(path);
  await removeStaleSocket(path);
});
