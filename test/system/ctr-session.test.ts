import { access } from "node:fs/promises";
import { join } from "node:path";
import t from "tap";
import { Cleanup } from "../../testing/rig/cleanup.js";
import { startDockerRegistry } from "../../testing/rig/docker-registry.js";
import { oddRegistry, projectRoot } from "../../testing/rig/lab.js";
import { countless, explained } from "./session-differences.js";
import { commitSteps, imageSteps, otherSteps, type Places, runSteps, taskSteps } from "./session-steps.js";
import { startSessionTwins } from "./session-twins.js";

t.setTimeout(400_000);

const newer = join(projectRoot, "build", "newer", "bin");
const hasNewer = await access(join(newer, "containerd")).then(
  () => true,
  () => false,
);

const rooms: Readonly<Record<string, (places: Places) => ReturnType<typeof runSteps>>> = {
  images: imageSteps,
  run: runSteps,
  tasks: taskSteps,
  "commit, export, import and push": commitSteps,
  "the rest": otherSteps,
};

for (const release of ["1.6", "2.1"] as const) {
  const isNew = release === "2.1";
  const options = { skip: isNew && !hasNewer && "scripts/fetch-newer-containerd.sh was not run" };
  t.test(`a session of ctr ${release} goes on lazuli as on its containerd`, options, async (t) => {
    await using cleanup = new Cleanup();
    const twins = await startSessionTwins(cleanup, isNew ? { binFolder: newer } : {});
    const { host: registry } = await oddRegistry(cleanup);
    const other = await startDockerRegistry({ folder: join(twins.folder, "registry") });
    cleanup.add(() => other.stop());
    const places = { registry, pushes: other.host, isNew };
    for (const [room, stepsOf] of Object.entries(rooms)) {
      await t.test(room, async (t) => {
        for (const step of stepsOf(places)) {
          const { lazuli, containerd } = await twins.run(step);
          const line = step.words.join(" ").replaceAll(registry, "registry").replaceAll(other.host, "other");
          const known = explained.find(
            ({ matches, releases }) => releases.includes(release) && matches.test(line),
          );
          t.same(known?.seen(lazuli) ?? lazuli, known?.seen(containerd) ?? containerd, line.slice(0, 150));
        }
      });
    }
    const { lazuli, containerd } = await twins.topics();
    t.same(counted(lazuli), counted(containerd), "the same events, with the same facts");
  });
}

function counted(topics: readonly string[]): string[] {
  const some = new Set(topics.filter((topic) => countless.test(topic)));
  return [...topics.filter((topic) => !countless.test(topic)), ...some].sort();
}
