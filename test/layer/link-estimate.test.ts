import t from "tap";
import { sha256 } from "../../src/bytes/index.js";
import { LinkEstimate } from "../../src/layer/link-estimate.js";
import { Readahead } from "../../src/layer/readahead.js";
import type { BlobSource } from "../../src/registry/index.js";
import { FakeClock } from "../../testing/layer/fake-clock.js";

const KIB = 1024;

/** A source behind a link: `waitMs` to the first piece, then pieces of 64 KiB at a rate. */
function linkedSource(clock: FakeClock, link: { waitMs: number; bytesPerMs: number }): BlobSource {
  const piece = Buffer.alloc(64 * KIB);
  return {
    digest: sha256(piece),
    size: 64 * KIB * 100,
    description: "a source behind a link",
    async *readRange({ length }) {
      await clock.advance(link.waitMs);
      for (let sent = 0; sent < length; sent += piece.length) {
        if (sent > 0) await clock.advance(piece.length / link.bytesPerMs);
        yield piece;
      }
    },
    distrust: () => undefined,
  };
}

async function drain(source: BlobSource, length: number): Promise<void> {
  for await (const piece of source.readRange({ offset: 0, length })) piece.toString("latin1", 0, 1);
}

t.test("bytesPerRoundTrip is the fastest body's rate by the shortest wait", async (t) => {
  const clock = new FakeClock();
  const link = new LinkEstimate(clock);
  t.equal(link.bytesPerRoundTrip, undefined, "nothing was measured");
  await drain(link.measured(linkedSource(clock, { waitMs: 40, bytesPerMs: 8 * KIB })), 64 * KIB);
  t.equal(link.bytesPerRoundTrip, undefined, "one piece says nothing about the rate");
  await drain(link.measured(linkedSource(clock, { waitMs: 40, bytesPerMs: 8 * KIB })), 640 * KIB);
  t.equal(link.bytesPerRoundTrip, 40 * 8 * KIB);
  await drain(link.measured(linkedSource(clock, { waitMs: 80, bytesPerMs: 4 * KIB })), 640 * KIB);
  t.equal(link.bytesPerRoundTrip, 40 * 8 * KIB, "a request that shared the link does not count");
});

t.test("windowAt() starts with what the link carries during a round trip, within its bounds", async (t) => {
  const clock = new FakeClock();
  const windows: number[] = [];
  for (const bytesPerMs of [1 * KIB, 16 * KIB, 640 * KIB]) {
    const link = new LinkEstimate(clock);
    await drain(link.measured(linkedSource(clock, { waitMs: 20, bytesPerMs })), 640 * KIB);
    windows.push(new Readahead({ maxBytes: 4096 * KIB, link }).windowAt(0) / KIB);
  }
  t.same(windows, [128, 320, 1024]);
});
