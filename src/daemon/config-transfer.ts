import { choiceField, countField, durationField, pathField, textsField } from "./config-fields.js";

const AT_ONCE_MAX = 64;

export const transfer = {
  lazy: choiceField({
    key: "lazy",
    choices: ["auto", "always", "never"] as const,
    initial: "auto",
    meaning:
      'Whether a pull through the Transfer service (`ctr images pull`, nerdctl) leaves layers where they are until they are read. "auto": those that can be lazy are, the others are downloaded; "always": a layer that can\'t be lazy fails the pull; "never": all layers are downloaded. It is for the lazy snapshotter only: others always need the bytes.',
  }),
  snapshotter: textsField({
    key: "snapshotter",
    initial: [],
    meaning:
      "Snapshotters that a pull may unpack with, the default first. Empty: all that are served, the lazy one first.",
  }),
  platforms: textsField({
    key: "platforms",
    initial: [],
    meaning: 'Platforms that are unpacked for, e.g. "linux/arm64". Empty: all of Linux, as containerd does.',
  }),
  downloadsMax: countField({
    key: "max_concurrent_downloads",
    min: 1,
    max: AT_ONCE_MAX,
    initial: 3,
    meaning: "Blobs that are downloaded at once, over all pulls; further ones wait in line.",
  }),
  unpacksMax: countField({
    key: "max_concurrent_unpacks",
    min: 1,
    max: AT_ONCE_MAX,
    initial: 1,
    meaning: "Layers that are unpacked at once, over all pulls.",
  }),
  uploadsMax: countField({
    key: "max_concurrent_uploaded_layers",
    min: 1,
    max: AT_ONCE_MAX,
    initial: 3,
    meaning: "Blobs that are uploaded at once, over all pushes.",
  }),
} as const;

export const imageVerifier = {
  folder: pathField({
    key: "bin_dir",
    initial: "/opt/containerd/image-verifier/bin",
    meaning:
      "Folder of programs that are asked before an image is pulled through the Transfer service, as containerd's `bindir` verifier asks them: `-name`, `-digest` and `-stdin-media-type`, the descriptor on stdin. All must exit with 0. A folder that does not exist accepts all.",
  }),
  programsMax: countField({
    key: "max_verifiers",
    min: 0,
    max: 1000,
    initial: 10,
    meaning: "Programs that are asked, in the order of their names; those behind them are passed over.",
  }),
  programTimeoutMs: durationField({
    key: "per_verifier_timeout",
    initial: "10s",
    meaning: "Longest time for one program. After it the image is refused.",
  }),
} as const;
