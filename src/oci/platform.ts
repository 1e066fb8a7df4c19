import { notFound } from "../errors/index.js";
import type { Descriptor, Platform } from "./descriptor.js";
import type { Index } from "./manifest.js";
import { isIndexType, isManifestType } from "./media-types.js";

const architectureNames: Readonly<Record<string, string>> = {
  x86_64: "amd64",
  "x86-64": "amd64",
  aarch64: "arm64",
  armhf: "arm",
  armel: "arm",
  i386: "386",
};

/** Variants of 32-bit ARM, best first: a newer processor runs the older ones. */
const armVariants = ["v8", "v7", "v6", "v5"];
const amd64Variants = ["v4", "v3", "v2", ""];

/**
 * The manifest of an index that fits a machine best; of two that fit alike, the first.
 * @throws NOT_FOUND with reason `platform-missing`
 */
export function selectPlatform(index: Index, wanted: Platform): Descriptor {
  const candidates = index.manifests.filter(
    ({ mediaType }) => isManifestType(mediaType) || isIndexType(mediaType),
  );
  const accepted = acceptedPlatforms(wanted);
  for (const platform of accepted) {
    const found = candidates.find((one) => one.platform !== undefined && keyOf(one.platform) === platform);
    if (found !== undefined) return found;
  }
  const only = candidates[0];
  if (candidates.length === 1 && only !== undefined && only.platform === undefined) return only;
  const offered = candidates.flatMap(({ platform }) => (platform === undefined ? [] : [keyOf(platform)]));
  throw notFound(
    `Cannot choose a manifest: want ${keyOf(wanted)}, got ${offered.slice(0, 20).join(", ") || "none"}`,
    {
      subject: keyOf(wanted),
      reason: "platform-missing",
      hint: "Choose an image that is built for this machine",
    },
  );
}

/** Best first, as containerd's `platforms.Only` orders them. */
function acceptedPlatforms(wanted: Platform): readonly string[] {
  const { os, architecture, variant } = normal(wanted);
  const key = (name: string, form: string): string => keyOf({ os, architecture: name, variant: form });
  if (architecture === "arm") return below(armVariants, variant ?? "v7").map((form) => key("arm", form));
  if (architecture === "amd64") return below(amd64Variants, variant ?? "").map((form) => key("amd64", form));
  if (architecture === "arm64") {
    const own = variant === undefined ? [] : [key("arm64", variant)];
    return [...own, key("arm64", ""), ...armVariants.map((form) => key("arm", form))];
  }
  return [key(architecture, variant ?? "")];
}

function below(variants: readonly string[], wanted: string): readonly string[] {
  const at = variants.indexOf(wanted);
  return at < 0 ? [wanted] : variants.slice(at);
}

function normal(platform: Platform): Platform {
  const given = platform.architecture.toLowerCase();
  const architecture = Object.hasOwn(architectureNames, given) ? architectureNames[given]! : given;
  let variant = platform.variant?.toLowerCase() ?? (given === "armel" ? "v6" : "");
  if (architecture === "arm64" && ["8", "v8"].includes(variant)) variant = "";
  if (architecture === "amd64" && variant === "v1") variant = "";
  if (architecture === "arm" && variant === "") variant = "v7";
  if (/^[5-8]$/.test(variant)) variant = `v${variant}`;
  return { os: platform.os.toLowerCase(), architecture, ...(variant === "" ? {} : { variant }) };
}

/** Whether a machine runs what is built for another platform, as containerd's `platforms.Only` has it. */
export function runsPlatform(machine: Platform, built: Platform): boolean {
  return acceptedPlatforms(machine).includes(keyOf(built));
}

/** `linux/arm64`, `linux/arm/v7`: the same for all ways to write one. */
export function platformKey(platform: Platform): string {
  return keyOf(platform);
}

function keyOf(platform: Platform): string {
  const { os, architecture, variant } = normal(platform);
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}
