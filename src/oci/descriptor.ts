import { type Digest, parseDigest } from "../bytes/index.js";
import {
  asObject,
  type Fields,
  has,
  malformed,
  optionalText,
  own,
  refuseOtherCase,
  textMap,
} from "./fields.js";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

/** An OCI content descriptor. `urls` and `data` are left out on purpose: bytes come from the registry only. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** An object without prototype. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform: Platform | undefined;
  /** Of an entry in an index of referrers. */
  readonly artifactType?: string;
}

const mediaTypeShape = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

const descriptorKeys = ["mediaType", "digest", "size", "annotations", "platform", "artifactType"];
const platformKeys = ["os", "architecture", "variant"];

export function parseDescriptor(value: unknown, what: string, name: string): Descriptor {
  const fields = asObject(value, what, name);
  refuseOtherCase(fields, descriptorKeys, what);
  const mediaType = optionalText(fields, "mediaType", what);
  if (mediaType === undefined || !mediaTypeShape.test(mediaType)) {
    throw malformed(what, `${name} has no valid mediaType`);
  }
  const size = own(fields, "size");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw malformed(
      what,
      `want whole bytes from 0 to 2^53-1 for the size of ${name}, got ${JSON.stringify(size)}`,
    );
  }
  const artifactType = optionalText(fields, "artifactType", what);
  return {
    ...(artifactType === undefined ? {} : { artifactType }),
    mediaType,
    digest: parseDigest(own(fields, "digest")),
    size: size + 0,
    annotations: textMap(own(fields, "annotations"), what, `the annotations of ${name}`),
    platform: parsePlatform(fields, what),
  };
}

function parsePlatform(fields: Fields, what: string): Platform | undefined {
  if (!has(fields, "platform")) return undefined;
  const platform = asObject(own(fields, "platform"), what, "platform");
  refuseOtherCase(platform, platformKeys, what);
  const variant = optionalText(platform, "variant", what);
  return {
    os: optionalText(platform, "os", what) ?? "",
    architecture: optionalText(platform, "architecture", what) ?? "",
    ...(variant === undefined || variant === "" ? {} : { variant }),
  };
}
