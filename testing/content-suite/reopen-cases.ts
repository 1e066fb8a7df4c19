import { type Case, digestOf } from "./suite-rig.js";

/** A restart between any two steps changes nothing that a client can see. */
export const reopenCases: Readonly<Record<string, Case>> = {
  ReopenEverywhere: async (rig) => {
    const reopen = rig.reopen!;
    const labels = rig.traits.keepsLabels ? { kept: "yes" } : {};
    const { bytes, digest } = rig.sample(1000);
    const open = { total: 1000, expected: digest };
    const { value: first, window: started } = await rig.during(() => rig.writer("r", open));
    await first.close();
    await reopen();
    const second = await rig.writer("r", open);
    rig.t.equal(second.offset, 0);
    const { window: updated } = await rig.during(() => second.write(Buffer.from(bytes.subarray(0, 400))));
    await second.close();
    await reopen();
    rig.t.match(await rig.store.status(rig.ref("r")), { offset: 400, total: 1000 });
    const third = await rig.writer("r", open);
    const running = digestOf(bytes.subarray(0, 400));
    rig.checkStatus(third, { offset: 400, total: 1000, digest: running, started, updated });
    await third.write(Buffer.from(bytes.subarray(400)));
    await third.close();
    await reopen();
    const fourth = await rig.writer("r", open);
    rig.t.equal(fourth.offset, 1000);
    const { window: created } = await rig.during(() =>
      fourth.commit({ size: 1000, expected: digest, labels }),
    );
    await reopen();
    await rig.checkInfo(digest, { size: 1000, labels, created, updated: created });
    await rig.checkBytes(digest, bytes);
    await rig.fails("status", "NOT_FOUND", rig.store.status(rig.ref("r")));
    if (rig.traits.keepsLabels) {
      const { window } = await rig.during(() =>
        rig.store.update({ digest, labels: { changed: "yes" }, fieldPaths: [] }),
      );
      await reopen();
      await rig.checkInfo(digest, { size: 1000, labels: { changed: "yes" }, created, updated: window });
    }
    await rig.store.delete(digest);
    await reopen();
    await rig.fails("info", "NOT_FOUND", rig.store.info(digest));
  },

  ReopenAfterFailedCommit: async (rig) => {
    const { bytes, digest } = rig.sample(500);
    const writer = await rig.writer("f");
    await writer.write(Buffer.from(bytes));
    const wrong = writer.commit({ size: 499, expected: undefined, labels: {} });
    await rig.fails("commit", "FAILED_PRECONDITION", wrong);
    await rig.reopen!();
    const again = await rig.writer("f");
    rig.t.equal(again.offset, 500);
    rig.t.equal(await again.commit({ size: 500, expected: digest, labels: {} }), digest);
    await rig.reopen!();
    await rig.checkBytes(digest, bytes);
  },

  ReopenAfterAbort: async (rig) => {
    const writer = await rig.writer("a");
    await writer.write(rig.sample(100).bytes);
    await writer.close();
    await rig.store.abort(writer.ref);
    await rig.reopen!();
    await rig.fails("status", "NOT_FOUND", rig.store.status(writer.ref));
    const fresh = await rig.writer("a");
    rig.t.equal(fresh.offset, 0);
    await fresh.close();
    await rig.store.abort(fresh.ref);
  },
};
