import { mkdtemp, readdir, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { idOf, openProfileStore, PROFILES_MAX, type ProfileStore } from "../../src/profiles/index.js";
import { digestOf, sampleProfile } from "./sample.js";

async function opened(t: Tap): Promise<{ store: ProfileStore; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-profiles-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return { store: await openProfileStore({ folder }), folder };
}

type Tap = { readonly teardown: (work: () => Promise<void>) => void };

const query = {
  repository: "registry.example/team/app",
  manifest: digestOf("manifest"),
  layers: [digestOf("below"), digestOf("above")],
};

t.test("find() takes the same manifest first, then the same layers, then the repository", async (t) => {
  const { store } = await opened(t);
  t.equal(await store.find(query), undefined);
  await store.save(
    sampleProfile({ manifest: digestOf("other tag"), layers: [digestOf("third"), digestOf("fourth")] }),
  );
  t.match(await store.find(query), { by: "repository" });
  t.equal(await store.find({ ...query, repository: "registry.example/other" }), undefined);
  t.equal(await store.find({ ...query, repository: "" }), undefined, "nobody knows where it is from");
  const nameless = sampleProfile({ manifest: undefined, repository: "" });
  await store.save(nameless);
  t.match(await store.find({ ...query, manifest: undefined, repository: "" }), { by: "layers" });
  t.match(await store.find(query), { by: "layers" });
  await store.save(sampleProfile());
  t.match(await store.find(query), { by: "manifest" });
  t.match(
    await store.find({ ...query, repository: "mirror.example/app" }),
    { by: "manifest" },
    "from any mirror",
  );
});

t.test("find() takes the command's own, else the one of the most starts", async (t) => {
  const { store } = await opened(t);
  await store.save(sampleProfile({ command: ["one"], starts: 2 }));
  await store.save(sampleProfile({ command: ["two"], starts: 5 }));
  t.same((await store.find(query))?.profile.command, ["two"]);
  t.same((await store.find({ ...query, command: ["one"] }))?.profile.command, ["one"]);
  t.same((await store.find({ ...query, command: ["three"] }))?.profile.command, ["two"]);
});

t.test("save() replaces the one of the same image and command; get() and remove() find it", async (t) => {
  const { store, folder } = await opened(t);
  const id = await store.save(sampleProfile());
  t.equal(await store.save(sampleProfile({ starts: 2 })), id);
  t.equal((await store.get(sampleProfile()))?.starts, 2);
  t.equal((await store.list()).length, 1);
  t.equal(await store.get(sampleProfile({ command: undefined })), undefined);
  t.notOk(await store.remove("../../etc/passwd"));
  t.ok(await store.remove(id));
  t.notOk(await store.remove(id));
  t.same(await readdir(folder), []);
});

t.test(`save() keeps ${PROFILES_MAX}: the one that was used longest ago goes`, async (t) => {
  const { store, folder } = await opened(t);
  const first = await store.save(sampleProfile());
  await utimes(join(folder, `${first}.json`), 1, 1);
  const second = await store.save(sampleProfile({ command: ["second"] }));
  await utimes(join(folder, `${second}.json`), 2, 2);
  await store.find({ ...query, command: sampleProfile().command });
  for (let at = 0; at < PROFILES_MAX - 1; at += 1)
    await store.save(sampleProfile({ command: [`other ${at}`] }));
  await writeFile(join(folder, "left.json.new"), "half");
  await utimes(join(folder, "left.json.new"), 1, 1);
  await store.save(sampleProfile({ command: ["other 1"] }));
  const names = await readdir(folder);
  t.equal(names.length, PROFILES_MAX);
  t.ok(names.includes(`${first}.json`), "it was used just now");
  t.notOk(names.includes(`${second}.json`));
  t.notOk(names.includes("left.json.new"));
});

t.test("find() and list() leave out what is damaged, renamed, or no file", async (t) => {
  const { store, folder } = await opened(t);
  const id = await store.save(sampleProfile());
  await truncate(join(folder, `${id}.json`), 100);
  await writeFile(join(folder, `${idOf(sampleProfile({ command: ["x"] }))}.json`), "{}");
  await symlink("/etc/passwd", join(folder, `${idOf(sampleProfile({ command: ["y"] }))}.json`));
  await writeFile(join(folder, "note.json"), "{}");
  t.equal(await store.find(query), undefined);
  t.same(await store.list(), []);
  await store.save(sampleProfile());
  t.equal((await store.list()).length, 1, "it is learnt again");
});
