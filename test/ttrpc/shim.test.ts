import { execFile } from "node:child_process";
import { constants, mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import t from "tap";
import { Events } from "../../gen/containerd/services/events/ttrpc/v1/events_pb.js";
import { Task } from "../../gen/containerd/task/v3/shim_pb.js";
import { connectTtrpc } from "../../src/ttrpc/index.js";

const run = promisify(execFile);

/** Debian's shim of containerd 1.6, which serves the messages of version 3 under the name of version 2. */
const v2 = { serviceName: "containerd.task.v2.Task", timeoutMs: 10_000 };

t.test("call() speaks with containerd's own shim", async (t) => {
  const bundle = await mkdtemp(join(tmpdir(), "lazuli-shim-"));
  t.teardown(() => rm(bundle, { recursive: true, force: true }));
  await mkdir(join(bundle, "rootfs"));
  await writeFile(join(bundle, "config.json"), JSON.stringify({ ociVersion: "1.0.2" }));
  // The shim writes its log there and ends when nobody has it open.
  await run("mkfifo", [join(bundle, "log")]);
  const log = await open(join(bundle, "log"), constants.O_RDWR | constants.O_NONBLOCK);
  t.teardown(() => log.close());
  const id = `ttrpc-${process.pid}`;
  const names = ["-namespace", "lazuli-ttrpc", "-id", id, "-address", join(bundle, "grpc.sock")];
  const environment = {
    ...process.env,
    TTRPC_ADDRESS: join(bundle, "ttrpc.sock"),
    NAMESPACE: "lazuli-ttrpc",
  };
  const started = run("containerd-shim-runc-v2", [...names, "start"], { cwd: bundle, env: environment });
  started.child.stdin?.end();
  const address = (await started).stdout.trim();
  t.match(address, /^unix:\/\//);
  const path = address.replace("unix://", "");
  t.teardown(() => rm(path, { force: true }));
  const client = await connectTtrpc({ path });
  t.teardown(() => client.close());
  const { shimPid, taskPid } = await client.call(Task.method.connect, { id }, v2);
  t.ok(shimPid > 0, "the shim tells its own number");
  t.equal(taskPid, 0);
  t.teardown(() => {
    try {
      process.kill(shimPid, "SIGKILL");
    } catch {
      // It has ended, as it should.
    }
  });
  await t.rejects(client.call(Task.method.state, { id }, v2), {
    code: "NOT_FOUND",
    reason: "ttrpc-status",
  });
  await t.rejects(client.call(Task.method.connect, { id }), { code: "UNIMPLEMENTED" }, "no version 3 here");
  await t.rejects(client.call(Events.method.forward, {}), { code: "UNIMPLEMENTED" });
  const many = await Promise.all(
    Array.from({ length: 200 }, () =>
      client.call(Task.method.connect, { id }, { ...v2, metadata: { a: "b" } }),
    ),
  );
  t.ok(many.every((answer) => answer.shimPid === shimPid));
  // The shim ends before it answers, or after: both are right.
  await client.call(Task.method.shutdown, { id, now: true }, v2).catch((error: Error) => {
    t.match(error, { code: "UNAVAILABLE", reason: "ttrpc-closed" });
  });
  await client.closed;
  await t.rejects(client.call(Task.method.connect, { id }, v2), {
    code: "UNAVAILABLE",
    reason: "ttrpc-closed",
  });
});
