import { type Digest, sha256 } from "../../src/bytes/index.js";
import type { ContentStore } from "../../src/content/index.js";
import { ImageTable, LeaseTable, type Metadata } from "../../src/metadata/index.js";
import type { Snapshotter } from "../../src/snapshotters/index.js";
import { contentSteps } from "./content-steps.js";

export const namespace = "default";

/** What must be there, by `<kind> <name>`, with what is known about it. */
export type Wanted = Map<string, string>;

/** One operation, and what is true once it was acknowledged. */
export interface Step {
  readonly name: string;
  readonly run: () => Promise<unknown>;
  readonly notes: (wanted: Wanted) => void;
}

export interface StepParts {
  readonly metadata: Metadata;
  readonly snapshotter: Snapshotter;
  readonly now: () => bigint;
  readonly blobs: ContentStore;
  /** Removes what no row leads to. */
  readonly sweep: () => Promise<unknown>;
}

export function digestOf(text: string): Digest {
  return sha256(Buffer.from(text));
}

/** Operations on things of one number: some stay, some go again. */
export function stepsOf(number: number, parts: StepParts): readonly Step[] {
  return [
    ...contentSteps(number, parts.blobs),
    { name: "content sweep", run: parts.sweep, notes: () => undefined },
    ...leaseSteps(number, parts),
    ...imageSteps(number, parts),
    ...snapshotSteps(number, parts),
  ];
}

function leaseSteps(number: number, { metadata, now }: StepParts): readonly Step[] {
  const table = new LeaseTable({ metadata, now });
  const [kept, gone] = [`lease-${number}`, `lease-${number}-gone`];
  const resource = { type: "images", id: `image-${number}` };
  const create = (id: string): Step => ({
    name: "lease create",
    run: async () => await table.create({ namespace, id, labels: {} }),
    notes: (wanted) => wanted.set(`lease ${id}`, ""),
  });
  return [
    create(kept),
    create(gone),
    {
      name: "lease add",
      run: async () => await table.addResource({ namespace, id: kept, resource }),
      notes: (wanted) => wanted.set(`lease ${kept}`, resource.id),
    },
    {
      name: "lease delete",
      run: async () => await table.delete({ namespace, id: gone }),
      notes: (wanted) => wanted.delete(`lease ${gone}`),
    },
  ];
}

function imageSteps(number: number, { metadata, now }: StepParts): readonly Step[] {
  const table = new ImageTable({ metadata, now });
  const [kept, gone] = [`image-${number}`, `image-${number}-gone`];
  const image = (name: string, of: string) => ({
    namespace,
    name,
    labels: {},
    target: { mediaType: "application/octet-stream", digest: digestOf(of), size: 1, annotations: {} },
  });
  const create = (name: string): Step => ({
    name: "image create",
    run: async () => await table.create(image(name, "first")),
    notes: (wanted) => wanted.set(`image ${name}`, digestOf("first")),
  });
  return [
    create(kept),
    create(gone),
    {
      name: "image update",
      run: async () => await table.update({ ...image(kept, "second"), fieldPaths: [] }),
      notes: (wanted) => wanted.set(`image ${kept}`, digestOf("second")),
    },
    {
      name: "image delete",
      run: async () => await table.delete({ namespace, name: gone }),
      notes: (wanted) => wanted.delete(`image ${gone}`),
    },
  ];
}

function snapshotSteps(number: number, { snapshotter }: StepParts): readonly Step[] {
  const [active, committed, gone] = [`active-${number}`, `committed-${number}`, `gone-${number}`];
  const prepare = (key: string, parent: string): Step => ({
    name: "snapshot prepare",
    run: async () => await snapshotter.prepare({ key, parent, labels: {} }),
    notes: (wanted) => wanted.set(`snapshot ${key}`, "active"),
  });
  return [
    prepare(active, ""),
    {
      name: "snapshot commit",
      run: async () => await snapshotter.commit({ name: committed, key: active, labels: {}, parent: "" }),
      notes: (wanted) => {
        wanted.delete(`snapshot ${active}`);
        wanted.set(`snapshot ${committed}`, "committed");
      },
    },
    prepare(gone, committed),
    prepare(active, committed),
    {
      name: "snapshot remove",
      run: async () => await snapshotter.remove(gone),
      notes: (wanted) => wanted.delete(`snapshot ${gone}`),
    },
    {
      name: "snapshot clean-up",
      run: async () => await snapshotter.cleanup(),
      notes: () => undefined,
    },
  ];
}
