import type { Digest } from "../bytes/index.js";
import { LazuliError } from "../errors/index.js";
import { type Descriptor, parseIndex } from "../oci/index.js";
import { MANIFEST_BYTES_MAX } from "./limits.js";
import { readVerified, type VerifiedReadOptions } from "./verified-read.js";

export interface ListReferrers {
  /** Of the repository; its tag or digest is not looked at. */
  readonly reference: string;
  /** The manifest that is referred to. */
  readonly subject: Digest;
  /** Only of this type; registries may pass the filter over, so it is applied here too. */
  readonly artifactType?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

type Place = Pick<
  VerifiedReadOptions,
  "client" | "clock" | "hosts" | "policy" | "endpoints" | "description" | "repository"
>;

/** As `Registry.referrers`. */
export async function listReferrers(options: ListReferrers & Place): Promise<readonly Descriptor[]> {
  const { subject, artifactType } = options;
  const found =
    (await indexAt(options, { kind: "referrers", suffix: `referrers/${subject}` })) ??
    // The referrers tag schema of registries before distribution-spec 1.1.
    (await indexAt(options, { kind: "manifest", suffix: `manifests/${subject.replace(":", "-")}` })) ??
    [];
  return artifactType === undefined ? found : found.filter((one) => one.artifactType === artifactType);
}

async function indexAt(
  options: ListReferrers & Place,
  place: Pick<VerifiedReadOptions, "kind" | "suffix">,
): Promise<readonly Descriptor[] | undefined> {
  try {
    const { bytes, contentType } = await readVerified({
      ...options,
      ...place,
      capability: "resolve",
      accept: "application/vnd.oci.image.index.v1+json",
      digest: undefined,
      bytesMax: MANIFEST_BYTES_MAX,
      signal: options.signal,
    });
    return parseIndex(bytes, { contentType }).manifests;
  } catch (thrown) {
    const { code, reason } = LazuliError.from(thrown);
    // A registry without the API answers 404 or 400; one that has it answers with an index, empty or not.
    if (code === "NOT_FOUND" || reason === "unexpected-status" || reason === "manifest-invalid")
      return undefined;
    throw thrown;
  }
}
