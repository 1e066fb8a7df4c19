import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { type Digest, sha256 } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import {
  encodeProfile,
  type FindPublished,
  findPublished,
  isTrusted,
  makeArtifact,
  PROFILE_MEDIA_TYPE,
  type Profile,
  parseArtifact,
  publishProfile,
  requirePublished,
} from "../../src/profiles/index.js";
import { Registry } from "../../src/registry/index.js";
import { type RegistryServer, startRegistry } from "../../testing/registry/index.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { sampleProfile } from "./sample.js";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const anyone = { kind: "any", listed: [] } as const;
const empty = Buffer.from("{}");

const image = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: sha256(empty),
      size: empty.length,
    },
    layers: [],
  }),
);
const manifest = sha256(image);
const subject = { mediaType: MANIFEST, digest: manifest, size: image.length };
const profile = sampleProfile({ manifest });

t.test("publishProfile() puts a profile beside the image, and findPublished() finds it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-publish-"));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const server = await startDockerRegistry({ folder });
  t.teardown(() => server.stop());
  const registry = new Registry({});
  t.teardown(() => registry.close());
  const reference = `${server.host}/team/app:1`;
  const target = await registry.pushTarget(reference);
  await target.pushBlob({
    digest: sha256(empty),
    size: empty.length,
    open: async function* () {
      yield empty;
    },
  });
  await target.pushManifest({ bytes: image, digest: manifest, mediaType: MANIFEST, tag: "1" });
  const asked = { registry, reference, manifest, trust: anyone };
  t.equal(await findPublished(asked), undefined);
  await t.rejects(requirePublished(asked), /nothing that refers to it is one/);

  const fetched = await registry.fetchManifest({ reference });
  const few = await publishProfile({ registry, reference, subject: fetched, profile });
  t.equal(few.listedBy, "tag", "Debian's registry has no referrers API");
  const published = { ...profile, command: ["/usr/bin/app"] };
  t.same(await findPublished(asked), { profile: published, digest: few.digest }, "without the arguments");
  const many = await publishProfile({
    registry,
    reference,
    subject: fetched,
    profile: { ...profile, starts: 7 },
  });
  t.equal((await requirePublished(asked)).digest, many.digest, "the one of more starts comes first");
  const pinned = { kind: "listed", listed: [few.digest] } as const;
  t.equal((await findPublished({ ...asked, trust: pinned }))?.digest, few.digest);
  t.equal(await findPublished({ ...asked, trust: { kind: "listed", listed: [] } }), undefined);
  const again = await publishProfile({ registry, reference, subject: fetched, profile });
  t.same(again, { ...few, listedBy: "referrers" }, "once more changes nothing");
  await t.rejects(
    publishProfile({ registry, reference, subject: fetched, profile: sampleProfile() }),
    /it is of sha256:.*, the image is sha256:/,
  );
});

t.test("isTrusted() takes listed digests, and repositories below listed ones", async (t) => {
  const digest = sha256(image);
  const trusts = (listed: readonly string[], reference = "registry.example/team/app:1"): boolean =>
    isTrusted({ kind: "listed", listed }, { reference, digest });
  t.ok(trusts([digest]));
  t.ok(trusts(["registry.example/team"]));
  t.ok(trusts(["registry.example/team/"]));
  t.ok(trusts(["registry.example/team/app"]));
  t.ok(trusts(["registry.example"]));
  for (const wrong of ["registry.example/te", "registry.example/team/app:1", "", "/", "team", "evil.example"])
    t.notOk(trusts([wrong]), wrong);
  t.notOk(trusts(["registry.example/team"], "registry.example.evil/team/app"));
});

interface Fields {
  artifactType?: string;
  subject?: { digest: string } | null;
  layers: { mediaType: string; digest: string; size: number }[];
}

/** An artifact with changes that no writer makes. */
function artifact(change: (fields: Fields) => void, document = encodeProfile(profile)): Buffer {
  const made = makeArtifact(profile, subject);
  const fields = JSON.parse(made.manifest.bytes.toString()) as Fields;
  fields.layers = [{ mediaType: PROFILE_MEDIA_TYPE, digest: sha256(document), size: document.length }];
  change(fields);
  return Buffer.from(JSON.stringify(fields));
}

const other = sha256(Buffer.from("another image"));
const hostileManifests: Readonly<Record<string, readonly [Buffer, string]>> = {
  "of another artifact type": [
    artifact((fields) => {
      fields.artifactType = "application/vnd.evil+json";
    }),
    "profile-artifact-invalid",
  ],
  "without a type": [
    artifact((fields) => {
      delete fields.artifactType;
    }),
    "profile-artifact-invalid",
  ],
  "for another image": [
    artifact((fields) => {
      fields.subject = { digest: other };
    }),
    "profile-other-image",
  ],
  "without a subject": [
    artifact((fields) => {
      delete fields.subject;
    }),
    "profile-other-image",
  ],
  "with null as subject": [
    artifact((fields) => {
      fields.subject = null;
    }),
    "profile-other-image",
  ],
  "with two documents": [
    artifact((fields) => {
      fields.layers.push(fields.layers[0]!);
    }),
    "profile-artifact-invalid",
  ],
  "without a document": [
    artifact((fields) => {
      fields.layers = [];
    }),
    "profile-artifact-invalid",
  ],
  "with a document of another media type": [
    artifact((fields) => {
      fields.layers[0]!.mediaType = "text/plain";
    }),
    "profile-artifact-invalid",
  ],
  "with a huge document": [
    artifact((fields) => {
      fields.layers[0]!.size = 2 ** 40;
    }),
    "profile-artifact-invalid",
  ],
  "with a document below 0": [
    artifact((fields) => {
      fields.layers[0]!.size = -1;
    }),
    "manifest-invalid",
  ],
  "with a digest that is none": [
    artifact((fields) => {
      fields.layers[0]!.digest = "sha256:..";
    }),
    "digest-invalid",
  ],
};

for (const [name, [bytes, reason]] of Object.entries(hostileManifests)) {
  t.test(`parseArtifact() refuses one ${name}`, async (t) => {
    try {
      parseArtifact(bytes, { subject: manifest });
      t.fail("it was taken");
    } catch (thrown) {
      t.equal(LazuliError.from(thrown).reason, reason, String(thrown));
    }
  });
}

t.test("parseArtifact() takes what makeArtifact() made", async (t) => {
  const made = makeArtifact(profile, subject);
  t.match(parseArtifact(made.manifest.bytes, { subject: manifest }), { digest: made.document.digest });
  t.same(makeArtifact(profile, subject), made, "the same bytes for the same profile");
});

interface Published {
  readonly server: RegistryServer;
  readonly asked: FindPublished;
  add(bytes: Buffer, starts?: number): Digest;
  list(): void;
}

async function hostileRegistry(t: { teardown: (work: () => Promise<void>) => void }): Promise<Published> {
  const server = await startRegistry();
  t.teardown(() => server.stop());
  const registry = new Registry({ retry: { attempts: 2, minWaitMs: 1, maxWaitMs: 2 }, stallTimeoutMs: 300 });
  t.teardown(() => registry.close());
  server.addManifest({ repository: "app", tag: "1", bytes: image, mediaType: MANIFEST });
  const listed: object[] = [];
  return {
    server,
    asked: { registry, reference: `${server.host}/app:1`, manifest, trust: anyone },
    add: (bytes, starts = 1) => {
      const digest = server.addManifest({ repository: "app", bytes, mediaType: MANIFEST });
      const annotations = { "dev.lazuli.profile.starts": String(starts) };
      listed.push({
        mediaType: MANIFEST,
        digest,
        size: bytes.length,
        artifactType: PROFILE_MEDIA_TYPE,
        annotations,
      });
      return digest;
    },
    list: () => {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: listed }));
      server.addManifest({ repository: "app", tag: manifest.replace(":", "-"), bytes, mediaType: INDEX });
    },
  };
}

t.test("findPublished() passes bad ones over, and takes the first good one", async (t) => {
  const { server, asked, add, list } = await hostileRegistry(t);
  const foreign: Profile = { ...profile, manifest: other };
  const documents = {
    foreign: encodeProfile(foreign),
    junk: Buffer.from("{}"),
    good: encodeProfile(profile),
  };
  for (const bytes of Object.values(documents)) server.addBlob(bytes);
  add(
    artifact(() => undefined, documents.foreign),
    900,
  );
  add(
    artifact(() => undefined, documents.junk),
    800,
  );
  add(
    artifact(() => undefined, Buffer.from("a blob that is gone")),
    700,
  );
  const good = add(
    artifact(() => undefined, documents.good),
    1,
  );
  add(Buffer.from("{}"), 0);
  list();
  t.same(await findPublished(asked), { profile, digest: good });
});

t.test("findPublished() gives up after a few bad ones", async (t) => {
  const { server, asked, add, list } = await hostileRegistry(t);
  const document = encodeProfile(profile);
  server.addBlob(document);
  for (let at = 0; at < 50; at += 1) add(Buffer.from(JSON.stringify({ at })), 100);
  add(
    artifact(() => undefined, document),
    1,
  );
  list();
  const before = server.log.length;
  t.equal(await findPublished(asked), undefined);
  t.ok(server.log.length - before < 12, `${server.log.length - before} requests`);
});

t.test("findPublished() does not take a document with other bytes than its digest says", async (t) => {
  const { server, asked, add, list } = await hostileRegistry(t);
  server.addBlob(encodeProfile(profile));
  add(artifact(() => undefined));
  list();
  server.script({ path: /blobs/, act: { flipByte: 3 } });
  t.equal(await findPublished(asked), undefined);
  server.clearScript();
  server.script({ path: /blobs/, act: { status: 500 } });
  t.equal(await findPublished(asked), undefined);
  server.clearScript();
  t.ok(await findPublished(asked), "and takes the right one");
});

t.test("findPublished() says so when the registry can't be asked", async (t) => {
  const { server, asked } = await hostileRegistry(t);
  server.script({ path: /referrers|sha256-/, act: { status: 503 } });
  await t.rejects(findPublished(asked), { code: "UNAVAILABLE" });
});
