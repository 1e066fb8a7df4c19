import { textsField } from "./config-fields.js";

/** As containerd calls the differ that is built in. */
export const OWN_DIFFER = "walking";

export const diff = {
  order: textsField({
    key: "default",
    initial: [OWN_DIFFER],
    meaning:
      'Who unpacks layers and compares trees: "walking" is lazuli\'s own, other names are those of `[proxy_plugins.<name>]` of type "diff". Each is asked in turn until one can do it.',
  }),
} as const;
