import { sha256 } from "../../src/bytes/index.js";
import type { LayerOwner } from "../../src/layer/index.js";
import type { LayerResolver } from "../../src/snapshotters/index.js";
import { FakeEngine } from "../snapshotter-suite/fake-engine.js";

/** An engine that has every layer before and after a crash: its own files are not what is tried here. */
export class StandingEngine extends FakeEngine {
  override has(): boolean {
    return true;
  }

  override async rootOwner(): Promise<LayerOwner> {
    return this.owner;
  }
}

/** Takes every layer for a lazy one, named after its target. */
export const everyLayer: LayerResolver = {
  resolve: async ({ target }) => ({
    kind: "layer",
    neighbours: [],
    request: {
      digest: sha256(Buffer.from(target)),
      mediaType: "",
      index: { kind: "estargz", tocDigest: sha256(Buffer.from("toc")) },
      origin: { reference: "registry.example/app", size: undefined },
      openSource: async () => await Promise.reject(new Error("this test opens no blob")),
    },
  }),
};
