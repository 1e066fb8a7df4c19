import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { delay } from "../../src/async/index.js";
import type { Digest } from "../../src/bytes/index.js";
import { ensuredChannel, type FilePart, type ReplayPlan } from "../../src/layer/index.js";
import {
  foundChannel,
  openProfileStore,
  type Profile,
  ProfileReplayer,
  type ProfileReplayerOptions,
  type ProfileStore,
  partsOf,
} from "../../src/profiles/index.js";
import { digestOf, sampleProfile } from "./sample.js";

const [below, above] = [digestOf("below"), digestOf("above")];
const image = {
  reference: "registry.example/team/app:1",
  manifest: digestOf("manifest"),
  layers: [below, above],
};

type Options = Partial<ProfileReplayerOptions> & { readonly places?: Readonly<Record<string, number>> };

/** A replayer on an engine that only notes what it is asked for. */
class Rig implements AsyncDisposable {
  readonly plans: ReplayPlan[] = [];
  readonly asked: { digest: Digest; paths: string[] }[] = [];
  readonly found: string[] = [];
  readonly here = new Set<Digest>();
  requestedBytes = 0;
  /** How often a replay was asked what it did. */
  looks = 0;
  readonly replayer: ProfileReplayer;
  readonly #listening: Disposable;

  constructor(
    readonly folder: string,
    readonly store: ProfileStore,
    { places = {}, ...changes }: Options,
  ) {
    this.#listening = foundChannel.subscribe(({ by }) => this.found.push(by));
    this.replayer = new ProfileReplayer({
      engine: {
        has: (digest) => this.here.has(digest),
        replay: (plan) => {
          this.plans.push(plan);
          const figures = () => {
            this.looks += 1;
            const none = { plannedBytes: 0, presentBytes: 0, storedBytes: 0, requests: 0, failures: 0 };
            return {
              label: "",
              state: "done" as const,
              ...none,
              requestedBytes: this.requestedBytes,
              start: undefined,
            };
          };
          return { figures, cancel: () => undefined };
        },
      },
      files: {
        rangesOf: async (digest: Digest, parts: readonly FilePart[]) => {
          this.asked.push({ digest, paths: parts.map(({ path }) => path) });
          return parts.map(({ path, offset, length }) => {
            const place = places[path] ?? 0;
            return place < 0 ? undefined : { offset: place + offset, length };
          });
        },
      },
      store,
      findPublished: undefined,
      bytesMax: 1000,
      timeMaxMs: 20_000,
      ...changes,
    });
  }

  static async make(options: Options = {}): Promise<Rig> {
    const folder = await mkdtemp(join(tmpdir(), "lazuli-replayer-"));
    return new Rig(folder, await openProfileStore({ folder }), options);
  }

  ensure(digest: Digest): void {
    this.here.add(digest);
    ensuredChannel.publish({ digest, units: 1, milliseconds: 1 });
  }

  async until(isSo: () => boolean): Promise<void> {
    for (let attempt = 0; attempt < 500 && !isSo(); attempt += 1) await delay(10);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listening[Symbol.dispose]();
    await this.replayer[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

t.test("ProfileReplayer plans what is there, and the rest as it gets ready", async (t) => {
  await using rig = await Rig.make({ places: { "lib/libc.so.6": 100_000 } });
  await rig.store.save(sampleProfile());
  rig.ensure(below);
  rig.replayer.image({ ...image, layers: [below] });
  rig.replayer.image({ ...image, layers: [above] });
  await rig.until(() => rig.plans.length === 1);
  t.same(rig.plans[0]?.parts, [{ digest: below, ranges: [{ offset: 104_096, length: 65_536 }] }]);
  t.match(rig.plans[0], { bytesMax: 1000, label: "profile registry.example/team/app:1" });
  rig.requestedBytes = 400;
  rig.ensure(above);
  await rig.until(() => rig.plans.length === 2);
  t.same(rig.plans[1]?.parts, [{ digest: above, ranges: [{ offset: 0, length: 10_000 }] }]);
  t.equal(rig.plans[1]?.bytesMax, 600, "all plans of an image share its bytes");
  rig.requestedBytes = 1000;
  rig.ensure(below);
  await rig.until(() => rig.asked.length === 3);
  t.equal(rig.asked.length, 3, "a layer that was made anew is looked at again");
  t.equal(rig.plans.length, 2, "but nothing is left to spend");
  t.same(rig.found, ["manifest"]);
});

t.test("ProfileReplayer keeps no replay that has ended", async (t) => {
  await using rig = await Rig.make();
  await rig.store.save(sampleProfile());
  rig.replayer.image(image);
  rig.requestedBytes = 100;
  for (let count = 1; count <= 6; count += 1) {
    rig.ensure(below);
    await rig.until(() => rig.plans.length === count);
  }
  t.same(
    rig.plans.map(({ bytesMax }) => bytesMax),
    [1000, 900, 800, 700, 600, 500],
    "what each has asked for counts",
  );
  t.equal(rig.looks, 5, "each is looked at once");
});

t.test("ProfileReplayer has layers that are ready together in one order", async (t) => {
  await using rig = await Rig.make();
  await rig.store.save(sampleProfile());
  rig.here.add(below).add(above);
  rig.replayer.image(image);
  await rig.until(() => rig.plans.length === 1);
  t.same(
    rig.plans[0]?.parts.map(({ digest }) => digest),
    [above, below],
    "the program comes before its library",
  );
});

t.test("ProfileReplayer uses the profile of another tag by paths and sizes", async (t) => {
  await using rig = await Rig.make({ places: { "usr/bin/app": -1, "lib/libc.so.6": 8192 } });
  await rig.store.save(sampleProfile({ manifest: digestOf("old"), layers: [below, digestOf("old above")] }));
  rig.here.add(below).add(above);
  rig.replayer.image(image);
  await rig.until(() => rig.plans.length === 1);
  t.same(rig.found, ["repository"]);
  t.same(rig.asked, [
    { digest: below, paths: ["lib/libc.so.6"] },
    { digest: above, paths: ["usr/bin/app"] },
  ]);
  t.same(
    rig.plans[0]?.parts,
    [{ digest: below, ranges: [{ offset: 12_288, length: 65_536 }] }],
    "one has changed",
  );
});

t.test("ProfileReplayer asks the registry where nothing is known, once for all layers", async (t) => {
  let asked = 0;
  const findPublished = async (): Promise<Profile> => {
    asked += 1;
    return sampleProfile();
  };
  await using rig = await Rig.make({ findPublished });
  rig.here.add(above);
  rig.replayer.image({ ...image, layers: [above] });
  rig.replayer.image(image);
  await rig.until(() => rig.plans.length === 1);
  t.same([asked, rig.found], [1, ["registry"]]);
  t.same(await rig.store.list(), [], "what a stranger says is not kept");
});

t.test("ProfileReplayer asks no registry for an image that is here and starts", async (t) => {
  await using rig = await Rig.make({
    findPublished: async () => {
      throw new Error("nobody is asked");
    },
  });
  rig.here.add(below).add(above);
  rig.replayer.image({ ...image, isHere: true });
  await rig.until(() => rig.found.length === 1);
  t.same(rig.found, ["none"]);
  await rig.store.save(sampleProfile());
  rig.replayer.image({ ...image, manifest: undefined, isHere: true });
  await rig.until(() => rig.plans.length === 1);
  t.same(rig.found, ["none", "layers"], "its own profile is replayed");
});

t.test("ProfileReplayer goes on without a profile, and after a failure", async (t) => {
  let asked = 0;
  await using rig = await Rig.make({
    findPublished: async ({ reference }) => {
      asked += 1;
      if (reference.endsWith(":bad")) throw new Error("no registry");
      return undefined;
    },
  });
  rig.here.add(below);
  rig.replayer.image(image);
  rig.replayer.image({ ...image, manifest: undefined });
  rig.replayer.image({ ...image, reference: "not a reference", manifest: digestOf("x") });
  rig.replayer.image({
    reference: "registry.example/team/app:bad",
    manifest: digestOf("y"),
    layers: [below],
  });
  await rig.until(() => rig.found.length === 4);
  t.same(rig.found.toSorted(), ["failed", "none", "none", "none"]);
  rig.replayer.image(image);
  await delay(50);
  t.equal(asked, 2, "nobody is asked without a manifest or a name, and nobody twice");
  t.equal(rig.plans.length, 0);
});

t.test("ProfileReplayer ends while it waits for a registry", async (t) => {
  const rig = await Rig.make({
    findPublished: async (_image, { signal }) => {
      await delay(60_000, { signal });
      return undefined;
    },
  });
  rig.replayer.image(image);
  await delay(20);
  await rig[Symbol.asyncDispose]();
  rig.replayer.image(image);
  t.equal(rig.plans.length, 0);
});

t.test("ProfileReplayer passes over a layer whose files can't be found", async (t) => {
  const rangesOf = async (digest: Digest, parts: readonly FilePart[]) => {
    if (digest === below) throw new Error("ENOENT");
    return parts.map(() => ({ offset: 0, length: 5 }));
  };
  await using rig = await Rig.make({ files: { rangesOf } });
  await rig.store.save(sampleProfile());
  rig.here.add(below).add(above);
  rig.replayer.image(image);
  await rig.until(() => rig.plans.length === 1);
  t.same(rig.plans[0]?.parts, [{ digest: above, ranges: [{ offset: 0, length: 5 }] }]);
});

t.test("partsOf() joins neighbours, and keeps the order of need over layers", async (t) => {
  const at = (place: number, digest: Digest, offset: number) => ({ place, digest, offset, length: 10 });
  t.same(partsOf([at(3, below, 0), at(0, above, 0), at(1, above, 10), at(2, above, 50)]), [
    {
      digest: above,
      ranges: [
        { offset: 0, length: 20 },
        { offset: 50, length: 10 },
      ],
    },
    { digest: below, ranges: [{ offset: 0, length: 10 }] },
  ]);
  t.same(partsOf([]), []);
});
