import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { type DescriptorStore, endKeeper, openKeeperStore } from "../../src/fuse/index.js";
import { keeperPid, untilEnded } from "../../testing/crash/takeover-rig.js";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { binding } from "./rig.js";

const HELD_MAX = 4096;

interface KeeperRig {
  readonly folder: string;
  readonly path: string;
  open(): Promise<DescriptorStore>;
  pid(): Promise<number>;
}

async function keeperRig(cleanup: Cleanup): Promise<KeeperRig> {
  const state = await mkdtemp(join(tmpdir(), "lazuli-keeper-"));
  cleanup.add(() => rm(state, { recursive: true, force: true }));
  const folder = join(state, "keeper");
  return {
    folder,
    path: join(folder, "keeper.sock"),
    open: async () => {
      const store = await openKeeperStore({ binding, folder });
      cleanup.add(() => store.close());
      return store;
    },
    pid: () => keeperPid(state),
  };
}

/** A file with this text, open. */
function openText(folder: string, text: string): number {
  const path = join(folder, `text-${text}`);
  writeFileSync(path, text);
  return openSync(path, "r");
}

/** What the descriptors that are held read, by name; closes them. */
async function heldTexts(store: DescriptorStore): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const { name, facts, fd } of await store.take()) {
    found[`${name} ${facts}`] = readFileSync(`/proc/self/fd/${fd}`, "latin1");
    closeSync(fd);
  }
  return found;
}

t.test("openKeeperStore() gives another store what a first one has put, until it is dropped", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await keeperRig(cleanup);
  const first = await rig.open();
  t.same(await first.take(), []);
  for (const text of ["one", "two", "three"]) {
    const fd = openText(join(rig.folder, ".."), text);
    await first.put({ name: `flat-${text}`, facts: `v=1,text=${text}`, fd });
    closeSync(fd);
  }
  const replaced = openText(join(rig.folder, ".."), "other");
  await first.put({ name: "flat-two", facts: "", fd: replaced });
  closeSync(replaced);
  await first.drop("flat-one");
  await first.drop("flat-one");
  first.close();
  const second = await rig.open();
  const held = { "flat-two ": "other", "flat-three v=1,text=three": "three" };
  t.same(await heldTexts(second), held);
  t.same(await heldTexts(second), held, "they stay after they were taken");
});

t.test("the keeper outlives signals, and is alone on its folder", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await keeperRig(cleanup);
  const store = await rig.open();
  const pid = await rig.pid();
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGPIPE"] as const) process.kill(pid, signal);
  const program = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0")[0]!;
  const [code] = await once(spawn(program, [rig.folder]), "exit");
  t.equal(code, 0, "a second one ends");
  t.same(await store.take(), []);
  t.equal(await rig.pid(), pid);
  const session = readFileSync(`/proc/${pid}/stat`, "latin1").split(" ")[5];
  t.equal(session, String(pid), "it has a session of its own");
  await endKeeper({ binding, folder: rig.folder });
  await untilEnded(pid);
  t.notOk(existsSync(rig.path), "it leaves no socket behind");
  await endKeeper({ binding, folder: rig.folder });
});

t.test("onLost() tells of a killed keeper, and the next put starts another", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await keeperRig(cleanup);
  const store = await rig.open();
  const lost = new Promise<void>((resolve) => store.onLost(resolve));
  // The store by itself keeps no process alive.
  const awake = setInterval(() => undefined, 1_000);
  cleanup.add(() => clearInterval(awake));
  const pid = await rig.pid();
  process.kill(pid, "SIGKILL");
  await lost;
  const fd = openText(join(rig.folder, ".."), "text");
  await store.put({ name: "flat-1", facts: "v=1", fd });
  closeSync(fd);
  t.same(await heldTexts(store), { "flat-1 v=1": "text" });
  t.not(await rig.pid(), pid);
});

t.test("the keeper refuses what is no request, and goes on", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await keeperRig(cleanup);
  const store = await rig.open();
  const [left, right] = binding.socketPair();
  cleanup.add(() => closeSync(left));
  cleanup.add(() => closeSync(right));
  const ask = async (bytes: Buffer, fds: readonly number[] = []): Promise<number[]> => [
    ...(await binding.exchange(rig.path, bytes, fds, 8)).data,
  ];
  const request = (op: string, name: string, facts: string): Buffer => {
    const head = Buffer.from([op.charCodeAt(0), name.length, facts.length & 0xff, facts.length >> 8]);
    return Buffer.concat([head, Buffer.from(name + facts)]);
  };
  t.same(await ask(request("P", "no-descriptor", "")), [9], "EBADF");
  t.same(await ask(request("P", "", ""), [left]), [22], "EINVAL: no name");
  t.same(await ask(request("?", "name", "")), [22], "EINVAL: no such op");
  t.same(await ask(Buffer.from("P")), [], "hangs up on half a request");
  t.same(await ask(request("P", "n".repeat(97), ""), [left]), []);
  t.same(await ask(request("P", "name", "f".repeat(129)), [left]), []);
  await t.rejects(ask(Buffer.alloc(5000, "P"), [left]), { code: "ECONNRESET" });
  t.same(await ask(request("P", "two", ""), [left, right]), [9], "one descriptor at a time");
  const silent = connect(rig.path);
  await once(silent, "connect");
  t.same(await store.take(), [], "one that says nothing holds up nobody");
  silent.destroy();
});

t.test("the keeper holds no more than it says", async (t) => {
  await using cleanup = new Cleanup();
  const rig = await keeperRig(cleanup);
  const store = await rig.open();
  const fd = openText(join(rig.folder, ".."), "many");
  cleanup.add(() => closeSync(fd));
  for (let number = 0; number < HELD_MAX; number += 1)
    await store.put({ name: `tree-${number}`, facts: "v=1", fd });
  await t.rejects(store.put({ name: "one-more", facts: "", fd }), {
    reason: "keeper-refused",
    message: /ENOSPC/,
  });
  await store.drop("tree-17");
  await store.put({ name: "one-more", facts: "", fd });
  const taken = await store.take();
  t.equal(taken.length, HELD_MAX);
  for (const one of taken) closeSync(one.fd);
});
