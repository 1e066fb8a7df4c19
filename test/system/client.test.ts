import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import t from "tap";
import {
  type Client,
  type Container,
  connect,
  type PullEvent,
  type SpecOption,
  type TaskIo,
  withEnv,
  withHostname,
  withSeccomp,
  withUser,
} from "../../src/client/index.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { command } from "../../testing/rig/command.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { projectRoot } from "../../testing/rig/lab.js";
import { boxArchive, boxImage, serverKinds, TextSink, temporaryFolder } from "./client-rig.js";

t.setTimeout(240_000);

const ended = (code: number): { code: number } => ({ code });

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function runOnce(
  client: Client,
  wanted: { id: string; args: string[]; options?: SpecOption[]; stdin?: string },
): Promise<Ran> {
  const image = await client.image(boxImage);
  const { id, args, options, stdin } = wanted;
  const container = await client.createContainer({ id, image, args, options });
  const stdout = new TextSink();
  const stderr = new TextSink();
  const input = stdin === undefined ? {} : { stdin: Readable.from([Buffer.from(stdin)]) };
  const task = await container.newTask({ io: { kind: "streams", stdout, stderr, ...input } });
  const waiting = task.wait();
  await task.start();
  const { code } = await waiting;
  await task.outputFinished;
  await task.delete();
  await container.delete();
  return { code, stdout: stdout.text, stderr: stderr.text };
}

async function sleeper(client: Client, id: string, io: TaskIo = { kind: "none" }): Promise<Container> {
  const image = await client.image(boxImage);
  const container = await client.createContainer({ id, image, args: ["sleep", "1000"] });
  const task = await container.newTask({ io });
  await task.start();
  return container;
}

/** Servers are built service by service: without this one no layer can be unpacked. */
async function canUnpack(client: Client): Promise<boolean> {
  return (await client.plugins({ filters: ["type==io.containerd.grpc.v1,id==diff"] })).length > 0;
}

const kinds = await serverKinds();

for (const kind of kinds) {
  t.test(`connect() to ${kind.name} runs a container's whole life`, async (t) => {
    await using cleanup = new Cleanup();
    const folder = await temporaryFolder(cleanup);
    const archive = await boxArchive(folder);
    const server = await kind.start(join(folder, "server"));
    cleanup.add(() => server.stop());
    const fifoFolder = join(folder, "fifo");
    // The shim keeps runc's state by namespace and name, for all servers of the machine.
    const namespace = `one-${process.pid}-${kinds.indexOf(kind)}`;
    using client = connect({ address: server.address, namespace, fifoFolder });
    t.ok((await client.version()).version, "it tells its version");
    if (!(await canUnpack(client))) return void t.comment("It serves no diffs");

    await t.test("images come and go, and have names", async (t) => {
      const image = await client.import(archive, { snapshotter: "overlayfs" });
      t.equal(image.name, boxImage);
      t.ok(await image.isUnpacked("overlayfs"));
      t.same((await image.config()).env, ["PATH=/bin", "FROM_IMAGE=1"]);
      await image.tag("client.test/box:2");
      t.same((await client.images()).map(({ name }) => name).sort(), [boxImage, "client.test/box:2"]);
      await (await client.image("client.test/box:2")).remove({ sync: true });
      await t.rejects(client.image("client.test/box:2"), { code: "NOT_FOUND" });
      const out = join(folder, "out.tar");
      const { digest } = await client.export(boxImage, out);
      const other = client.inNamespace(`two-${process.pid}`);
      t.equal(
        (await other.import(out, { snapshotter: "overlayfs" })).target.digest,
        digest,
        "what is saved can be loaded",
      );
      t.same((await client.leases()).length, 0, "no lease is left");
    });

    await t.test("a process has its streams, environment, user and exit code", async (t) => {
      const ran = await runOnce(client, {
        id: "first",
        args: ["sh", "-c", "cat; id; pwd; hostname; echo $FROM_IMAGE$MORE; echo oops >&2; exit 7"],
        options: [withEnv(["MORE=2"]), withUser("app"), withHostname("box"), withSeccomp()],
        stdin: "hello\n",
      });
      t.equal(ran.code, 7);
      t.equal(ran.stderr, "oops\n");
      t.equal(ran.stdout, "hello\nuid=1000(app) gid=1000(app) groups=4(adm),1000(app)\n/srv\nbox\n12\n");
      const long = await runOnce(client, { id: "long", args: ["cat"], stdin: "x".repeat(1_000_000) });
      t.equal(long.stdout.length, 1_000_000, "a stream longer than its pipe is whole");
    });

    await t.test("a task takes signals, pauses and more processes", async (t) => {
      const container = await sleeper(client, "second");
      const task = await container.task();
      const stdout = new TextSink();
      const process = { ...container.spec.process, args: ["sh", "-c", "echo inside; exit 3"] };
      const exec = await task.exec({ id: "e1", process, io: { kind: "streams", stdout } });
      const waiting = exec.wait();
      await exec.start();
      t.match(await waiting, ended(3));
      await exec.outputFinished;
      t.match(await exec.delete(), ended(3));
      t.equal(stdout.text, "inside\n");
      t.ok((await task.pids()).includes(task.pid));
      t.match((await task.metrics())?.typeUrl, /^io\.containerd\.cgroups\.v[12]\.Metrics$/);
      await task.pause();
      t.equal((await task.status()).state, "paused");
      await task.resume();
      t.equal((await client.tasks()).get("second")?.state, "running");
      await t.rejects(container.delete(), { code: "FAILED_PRECONDITION" }, "one that runs stays");
      const last = task.wait();
      await task.kill("TERM", { all: true });
      await task.kill("KILL");
      t.match(await last, ended(137));
      await task.delete();
      await container.delete();
      await t.rejects(client.container("second"), { code: "NOT_FOUND" });
    });

    await t.test("output goes to files and terminals", async (t) => {
      const path = join(folder, "box.log");
      const image = await client.image(boxImage);
      // Not on stderr: containerd's shim before 2.1 closes the file for both outputs when the first one ends.
      const args = ["sh", "-c", "echo one; echo two"];
      const container = await client.createContainer({ id: "third", image, args });
      const task = await container.newTask({ io: { kind: "file", path } });
      const waiting = task.wait();
      await task.start();
      await waiting;
      await task.delete();
      await container.delete();
      t.same((await readFile(path, "utf8")).split("\n"), ["one", "two", ""]);
    });

    await t.test("events are told as they happen", async (t) => {
      const stop = new AbortController();
      const topics: string[] = [];
      const heard = (async () => {
        for await (const { topic, event } of client.events([`namespace=="${namespace}"`], {
          signal: stop.signal,
        })) {
          topics.push(topic);
          if (topic === "/tasks/exit") t.match(event, { containerId: "fourth", exitStatus: 4 });
          if (topic === "/containers/delete") return;
        }
      })();
      // A subscription has no answer before its first event: what is made until it stands tells nothing.
      while (topics.length === 0) {
        const image = await client.image(boxImage);
        await image.setLabels({ seen: String(Math.random()) });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await runOnce(client, { id: "fourth", args: ["sh", "-c", "exit 4"] });
      await heard;
      stop.abort();
      for (const topic of [
        "/containers/create",
        "/tasks/create",
        "/tasks/start",
        "/tasks/exit",
        "/tasks/delete",
      ])
        t.ok(topics.includes(topic), topic);
    });

    await t.test("bad input has an error with a code and leaves nothing behind", async (t) => {
      const image = await client.image(boxImage);
      const make = (more: object) => client.createContainer({ id: "bad", image, args: ["sh"], ...more });
      await t.rejects(make({ options: [withUser("nobody")] }), { code: "NOT_FOUND" });
      await t.rejects(make({ id: "../x" }), { code: "INVALID_ARGUMENT" });
      await t.rejects(make({ snapshotter: "none-such" }), { code: "NOT_FOUND" });
      await t.rejects(runOnce(client, { id: "bad", args: ["no-such-program"] }), /no-such-program/);
      await (await client.container("bad")).delete();
      t.same(await client.containers(), []);
      const left = [];
      for await (const { name, parent } of client.snapshots("overlayfs")) if (parent !== "") left.push(name);
      t.same(left, [], "no container's snapshot is left");
    });

    await t.test("the client finds a server again that was restarted, and its tasks", async (t) => {
      const container = await sleeper(client, "survivor");
      const waiting = (await container.task()).wait();
      await server.restart();
      t.equal((await (await client.container("survivor")).task()).containerId, "survivor");
      const found = await client.container("survivor");
      const task = await found.task();
      await task.kill("KILL");
      t.match(await waiting, ended(137), "who has waited before the restart is told of the end");
      await task.delete();
      await found.delete();
    });
  });

  t.test(`pull() and push() with ${kind.name} and a registry`, async (t) => {
    await using cleanup = new Cleanup();
    const folder = await temporaryFolder(cleanup);
    const archive = await boxArchive(folder);
    const registry = await startDockerRegistry({ folder: join(folder, "registry") });
    cleanup.add(() => registry.stop());
    const server = await kind.start(join(folder, "server"));
    cleanup.add(() => server.stop());
    using client = connect({ address: server.address, fifoFolder: join(folder, "fifo") });
    if (!(await canUnpack(client))) return void t.comment("It serves no diffs");
    const { target } = await client.import(archive, { snapshotter: "overlayfs" });
    const reference = `${registry.host}/box:1`;
    t.equal((await client.push(boxImage, { to: reference })).digest, target.digest);
    for (const by of ["client", "auto"] as const) {
      for (const image of await client.images()) await image.remove({ sync: true });
      const events: PullEvent[] = [];
      const image = await client.pull(reference, {
        by,
        snapshotter: "overlayfs",
        onEvent: (event) => events.push(event),
      });
      t.equal(image.target.digest, target.digest, by);
      t.ok(await image.isUnpacked("overlayfs"), "it is ready to run");
      t.ok(
        events.some((event) => event.kind === "found"),
        "progress is told",
      );
    }
    await t.rejects(client.pull(`${registry.host}/none:1`), { code: "NOT_FOUND" });
    await t.rejects(client.pull(reference, { lazy: "always", snapshotter: "native" }), {
      name: "LazuliError",
    });
    t.same(await client.leases(), [], "no lease is left");
    const program = join(projectRoot, "examples", "client-run.js");
    const example = await command(process.execPath, [program, server.address, reference, "echo", "hello"]);
    t.equal(example.stdout, "hello\n", "the example runs");
  });
}
