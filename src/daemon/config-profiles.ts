import { booleanField, choiceField, durationField, sizeField, textsField } from "./config-fields.js";

export const profiles = {
  learn: booleanField({
    key: "learn",
    initial: true,
    meaning:
      "Learn from the starts of containers which files of an image are read first. Profiles lie below `root`, at most 256 of them, and stay on the node until `lazuli profile push` publishes one.",
  }),
  use: choiceField({
    key: "use",
    choices: ["registry", "local", "off"] as const,
    initial: "registry",
    meaning:
      'Whose profiles are replayed while the layers of an image get ready. "local": the node\'s own. "registry": where it has none, also the one that refers to the image at its registry; nobody waits for it. "off": none. SOCI\'s prefetch artifacts and eStargz\'s landmarks are followed anyway.',
  }),
  trust: choiceField({
    key: "trust",
    choices: ["any", "listed"] as const,
    initial: "any",
    meaning:
      'Which profiles are taken from registries. "any": those of whoever may push to the repository of the image. "listed": only those that `trusted` names. A wrong profile can make a node fetch up to `max_bytes` of the image in vain, and nothing else.',
  }),
  trusted: textsField({
    key: "trusted",
    initial: [],
    meaning:
      "Digests of profiles, as `lazuli profile push` prints them, and repositories with all below them, e.g. `registry.example/team`.",
  }),
  bytesMax: sizeField({
    key: "max_bytes",
    initial: "256MiB",
    meaning: "Most compressed bytes that are fetched for the profile of one image.",
  }),
  timeMaxMs: durationField({
    key: "max_time",
    initial: "60s",
    meaning: "After it nothing more is fetched for a profile.",
  }),
} as const;
