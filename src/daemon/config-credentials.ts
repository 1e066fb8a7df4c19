import { choiceField, delayField, optionalPathField } from "./config-fields.js";

export const credentials = {
  keep: choiceField({
    key: "keep",
    initial: "memory",
    choices: ["memory", "encrypted", "none"],
    meaning:
      "What becomes of credentials that came with a pull, by CRI or from a client: lazy layers of a private image need them later. `memory`: until the daemon ends. `encrypted`: below `root`, under AES-256-GCM, so that lazy layers go on after a restart; the key is systemd's credential `lazuli.key` where there is one, else a file of mode 0600 below `root`. `none`: for the pull only, and an image that needed them is then pulled as a whole.",
  }),
  keepForMs: delayField({
    key: "keep_for",
    initial: "0s",
    meaning:
      'Longest time that such a credential is kept after its pull; "0s" stands for as long as an image of its repository is there. In both cases it goes with the last image of the repository.',
  }),
  kubeletConfig: optionalPathField({
    key: "kubelet_config",
    example: "/etc/kubernetes/credential-provider.yaml",
    meaning:
      "The kubelet's `--image-credential-provider-config`: its credential providers (KEP-2133) are asked at the moment of use, before `[registry] docker_config`. Read again when it changes. Providers with `tokenAttributes` are refused.",
  }),
  kubeletFolder: optionalPathField({
    key: "kubelet_folder",
    example: "/usr/libexec/kubernetes/credential-providers",
    meaning: "The kubelet's `--image-credential-provider-bin-dir`: the folder with the programs.",
  }),
} as const;
