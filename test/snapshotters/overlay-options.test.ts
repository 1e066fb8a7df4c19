import { lstat, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { detectOverlay, type OverlayOptions } from "../../src/snapshotters/index.js";
import { command } from "../../testing/rig/command.js";
import { withMounts } from "../../testing/snapshotter-suite/index.js";
import { layer, openOverlayfs, scratch } from "./user-namespace-rig.js";

/** A folder that looks like a kernel's parameters of overlay. */
async function parameters(folder: string, values: Readonly<Record<string, string>>): Promise<string> {
  const place = join(folder, "parameters");
  await mkdir(place);
  for (const [name, value] of Object.entries(values)) await writeFile(join(place, name), `${value}\n`);
  return place;
}

async function optionsWith(t: Parameters<typeof scratch>[0], overlay: OverlayOptions, folder?: string) {
  const opened = await openOverlayfs(folder ?? (await scratch(t)), { overlay });
  t.teardown(opened.close);
  await layer(opened.snapshotter, "base", "", "mkdir below; echo content > below/file");
  const mounts = await opened.snapshotter.prepare({ key: "box", parent: "base", labels: {} });
  return { mounts, options: mounts[0]!.options, snapshotter: opened.snapshotter };
}

t.test("detectOverlay() turns off what would tie upper layers to this kernel", async (t) => {
  const folder = await scratch(t);
  const place = await parameters(folder, { index: "N", redirect_dir: "Y", metacopy: "Y" });
  const overlay = { ...(await detectOverlay([], place)), isUserxattr: false };
  t.match(overlay, { hasIndex: true, defaultsOn: ["redirect_dir", "metacopy"] });
  const { mounts, options } = await optionsWith(t, overlay, folder);
  t.same(options.slice(-3), ["index=off", "redirect_dir=off", "metacopy=off"]);
  const upper = options.find((option) => option.startsWith("upperdir="))!.slice("upperdir=".length);
  await withMounts(mounts, async (mounted) => {
    await t.rejects(rename(join(mounted, "below"), join(mounted, "moved")), { code: "EXDEV" });
    await command("chown", ["5:6", join(mounted, "below/file")]);
  });
  t.equal((await lstat(join(upper, "below/file"))).blocks > 0, true, "the content came along");
  const marks = await command("getfattr", ["-R", "-d", "-m", "redirect|metacopy", upper]);
  t.equal(marks.stdout, "", "no mark that only these options understand");
});

t.test("detectOverlay() leaves a kernel's other defaults and the config's own words alone", async (t) => {
  const folder = await scratch(t);
  const off = await parameters(folder, { redirect_dir: "N", metacopy: "N" });
  t.match(await detectOverlay([], off), { hasIndex: false, defaultsOn: [] });
  const onFolder = await scratch(t);
  const on = await parameters(onFolder, { redirect_dir: "Y", metacopy: "Y" });
  const set = { ...(await detectOverlay(["redirect_dir=on"], on)), isUserxattr: false };
  t.same((await optionsWith(t, set)).options.slice(-2), ["redirect_dir=on", "metacopy=off"]);
  const userxattr = { ...(await detectOverlay([], on)), isUserxattr: true };
  t.same((await optionsWith(t, userxattr)).options.slice(-1), ["userxattr"], "the kernel has them off then");
});

t.test("the option volatile is in every mount, and mounts", async (t) => {
  const { mounts, options } = await optionsWith(t, await detectOverlay(["volatile"]));
  t.ok(options.includes("volatile"));
  await withMounts(mounts, async (mounted) => {
    await writeFile(join(mounted, "x"), "x");
    const { stdout } = await command("findmnt", ["-no", "OPTIONS", mounted]);
    t.match(stdout, /volatile|fsync=volatile/);
  });
});

t.test("the label of the upper layer is shown and never stored", async (t) => {
  const folder = await scratch(t);
  const shown = await openOverlayfs(folder, { showsUpper: true });
  const { snapshotter } = shown;
  await layer(snapshotter, "base", "", "echo x > x");
  await snapshotter.prepare({ key: "box", parent: "base", labels: { own: "label" } });
  const label = "containerd.io/snapshot/overlay.upperdir";
  const upper = (id: number) => join(folder, "root/snapshots", String(id), "fs");
  t.same((await snapshotter.stat("box")).labels, { own: "label", [label]: upper(2) });
  t.same((await snapshotter.stat("base")).labels, { [label]: upper(1) });
  const updated = await snapshotter.update({
    name: "box",
    labels: { own: "other" },
    fieldPaths: ["labels.own"],
  });
  t.same(updated.labels, { own: "other", [label]: upper(2) });
  const found: string[] = [];
  for await (const { name } of snapshotter.walk([`labels."${label}"=="${upper(2)}"`])) found.push(name);
  t.same(found, ["box"]);
  await shown.close();
  const hidden = await openOverlayfs(folder);
  t.teardown(hidden.close);
  t.same((await hidden.snapshotter.stat("box")).labels, { own: "other" });
});
