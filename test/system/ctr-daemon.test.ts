import { access, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { startTwins, type Twins } from "./ctr-twins.js";

t.setTimeout(240_000);

const newer = fileURLToPath(new URL("../../../build/newer/bin", import.meta.url));
const hasNewer = await access(join(newer, "containerd")).then(
  () => true,
  () => false,
);
const digestOfHello = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
const longText = "x".repeat(5000);

type Step = readonly [words: readonly string[], input?: string];

const steps = (lines: readonly (string | Step)[]): Step[] =>
  lines.map((line) => (typeof line === "string" ? [line.split(" ")] : line));

const containerSteps = (spec: string): Step[] =>
  steps([
    "containers ls",
    `containers create --config ${spec} c1`,
    `containers create --config ${spec} c1`,
    `containers create --config ${spec} bad..name`,
    `containers create --config ${spec} --label a=b c2`,
    `containers create --config ${spec} --runtime io.odd.v1 c3`,
    [["containers", "create", "--config", spec, "--label", `a=${longText}`, "c4"]],
    `containers create --config ${spec}.none c5`,
    "containers create example.com/none:1 c6 sh",
    "containers create",
    "containers ls",
    "containers ls -q",
    "containers ls id==c2",
    "containers ls labels.a==b",
    "containers ls -q runtime.name~=odd",
    "containers ls -q labels.a!=b,id~=c",
    [["containers", "ls", "=="]],
    [["containers", "ls", "image=="]],
    "containers label c1 k=v",
    "containers label c1 other=1",
    [["containers", "label", "c1", "k="]],
    "containers label c1",
    "containers label none k=v",
    [["containers", "label", "c1", `k=${longText}`]],
    "containers info c1",
    "containers info c3",
    "containers info --spec c2",
    "containers info none",
    "-n other containers ls",
    "-n bad..name containers ls",
    `-n other containers create --config ${spec} c1`,
    "namespaces rm other",
    "namespaces rm default",
    "-n other containers rm c1",
    "namespaces rm other",
    "containers rm c1 none",
    "containers rm --keep-snapshot c2",
    "containers rm",
    "containers ls -q",
    "containers checkpoint none example.com/c:1",
  ]);

const sandboxSteps = (spec: string): Step[] =>
  steps([
    "sandboxes ls",
    `sandboxes run ${spec} sb1`,
    `sandboxes run ${spec} sb1`,
    `sandboxes run --runtime odd ${spec} bad..name`,
    `sandboxes run ${spec}.none sb2`,
    "sandboxes ls",
    "sandboxes ls --filters id==sb1",
    "sandboxes ls --filters id==sb2",
    [["sandboxes", "ls", "--filters", "=="]],
    "sandboxes rm sb1",
    "sandboxes rm -f sb1",
    "sandboxes rm none",
    "-n bad..name sandboxes ls",
    "plugins ls id==none",
    "plugins ls type==io.containerd.lease.v1",
    "plugins ls -d type==io.containerd.sandbox.store.v1",
    "plugins ls id==healthcheck",
    "plugins ls -d id==sandboxes",
  ]);

/** Makes and removes a bit of everything. */
const eventSteps = (spec: string): Step[] =>
  steps([
    "snapshots prepare work",
    "snapshots commit base work",
    "snapshots view look base",
    "snapshots prepare more base",
    "snapshots label more a=1",
    "snapshots rm more",
    [["content", "ingest", "hello"], "hello\n"],
    [["content", "ingest", "hello-again"], "hello\n"],
    `content label ${digestOfHello} a=1`,
    `content rm ${digestOfHello}`,
    `content rm ${digestOfHello}`,
    `containers create --config ${spec} --label a=b one`,
    `containers create --config ${spec} one`,
    "containers label one k=v",
    "containers rm one",
    "containers rm one",
    "namespaces create room k=v",
    "namespaces label room k=w",
    "namespaces rm room",
    "leases create --id held",
    "leases rm --sync held",
  ]);

async function compare(
  t: Pick<typeof import("tap").t, "same">,
  twins: Twins,
  all: readonly Step[],
): Promise<void> {
  for (const [words, input] of all) {
    const { lazuli, containerd } = await twins.both(words, input);
    t.same(lazuli, containerd, `ctr ${words.join(" ").slice(0, 100)}`);
  }
}

async function twinsWithSpec(
  cleanup: Cleanup,
  options: { readonly binFolder?: string },
): Promise<{ twins: Twins; spec: string }> {
  const twins = await startTwins(cleanup, options);
  const spec = join(twins.folder, "spec.json");
  const root = { ociVersion: "1.0.2", process: { args: ["sh"], cwd: "/" }, root: { path: "rootfs" } };
  await writeFile(spec, JSON.stringify(root));
  return { twins, spec };
}

t.test("ctr 1.6 says the same of lazuli's containers and of containerd's", async (t) => {
  await using cleanup = new Cleanup();
  const { twins, spec } = await twinsWithSpec(cleanup, {});
  await compare(t, twins, containerSteps(spec));
});

t.test("ctr 2.1", { skip: !hasNewer && "scripts/fetch-newer-containerd.sh was not run" }, async (t) => {
  await using cleanup = new Cleanup();
  const { twins, spec } = await twinsWithSpec(cleanup, { binFolder: newer });
  await t.test("says the same of containers", async (t) => await compare(t, twins, containerSteps(spec)));
  await t.test("says the same of sandboxes, and of plugins", async (t) => {
    await compare(t, twins, sandboxSteps(spec));
  });
  await t.test("hears the same events, also of what a collection takes", async (t) => {
    const heard = await twins.heard(async () => await compare(t, twins, eventSteps(spec)));
    t.same(heard.lazuli, heard.containerd);
    t.ok(heard.containerd.length >= 12, "there was something to hear");
  });
});
