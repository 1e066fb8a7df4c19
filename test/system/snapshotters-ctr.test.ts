import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import {
  ownOptionsLast,
  viewIsNotActive,
  withoutFolderTimes,
  withoutHoles,
  withoutWrapping,
} from "./snapshotters-differences.js";
import { Asker, type Kind, kinds, leftBelow, type Said, startPlugged } from "./snapshotters-rig.js";
import { allSteps, ask, type Step } from "./snapshotters-steps.js";

t.setTimeout(240_000);

function asOurs(kind: Kind, step: Step, theirs: Said): Said {
  const said = ownOptionsLast(withoutWrapping(theirs));
  const isOfView = 0 in step && step[0].join(" ") === "commit looked look";
  return kind === "native" && isOfView ? viewIsNotActive(said, "look") : said;
}

t.test("ctr snapshots says the same of ours and of those that containerd has itself", async (t) => {
  await using cleanup = new Cleanup();
  const node = await startPlugged(cleanup, { sockets: "shared", collectsOnRequest: true });
  for (const kind of kinds) {
    await t.test(kind, async (t) => {
      const { theirs, ours } = node.sides(kind);
      const askers = [new Asker(node, theirs), new Asker(node, ours)] as const;
      for (const step of stepsFor(kind)) {
        const [wanted, said] = await Promise.all([ask(askers[0], step), ask(askers[1], step)]);
        const shown =
          kind === "native" && "within" in step ? withFolderTimesMasked : (all: Said): Said => all;
        t.same(shown(said), shown(asOurs(kind, step, wanted)), JSON.stringify(step).slice(0, 120));
      }
      t.same(await leftBelow(node, kind), [], "nothing is left");
    });
  }
});

function stepsFor(kind: Kind): readonly Step[] {
  if (kind !== "native") return allSteps;
  return allSteps.map((step) => ("script" in step ? { ...step, script: withoutHoles(step.script) } : step));
}

function withFolderTimesMasked(said: Said): Said {
  return { ...said, stdout: withoutFolderTimes(said.stdout) };
}
