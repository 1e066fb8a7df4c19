import { failedPrecondition, type LazuliError } from "../errors/index.js";
import { hostnameKind, isWithinReach, type Reach } from "./addresses.js";
import { REDIRECTS_MAX, URL_LENGTH_MAX } from "./limits.js";

export interface RedirectRules {
  /** Kinds of addresses that the registry may send us to. */
  readonly reach: Reach;
  /** Whether https may lead to http. */
  readonly allowDowngrade: boolean;
}

export function isRedirect(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
}

/** The URL that a `Location` leads to, when it may be followed. @throws FAILED_PRECONDITION */
export function redirectTarget(options: {
  from: URL;
  location: string | undefined;
  hop: number;
  rules: RedirectRules;
}): URL {
  const { from, location, hop, rules } = options;
  if (hop > REDIRECTS_MAX) {
    throw failedPrecondition(
      `Cannot follow ${from.host}: want at most ${REDIRECTS_MAX} redirects, got more`,
      {
        subject: from.host,
        reason: "redirect-limit",
      },
    );
  }
  if (location === undefined || location.length > URL_LENGTH_MAX || !URL.canParse(location, from.href)) {
    throw redirectRefused(
      from,
      "a location",
      location === undefined ? "none" : "one that is no URL or too long",
    );
  }
  const target = new URL(location, from);
  const scheme = target.protocol;
  if (scheme !== "https:" && scheme !== "http:") {
    throw redirectRefused(from, "an http or https address", "another scheme");
  }
  if (target.username !== "" || target.password !== "") {
    throw redirectRefused(from, "an address without a password", "one with it");
  }
  if (from.protocol === "https:" && scheme === "http:" && !rules.allowDowngrade) {
    throw redirectRefused(from, "https to stay https", "http");
  }
  if (target.origin !== from.origin && !isWithinReach(target.hostname, rules.reach)) {
    throw redirectRefused(from, "a public address", `one of kind ${hostnameKind(target.hostname)}`);
  }
  target.hash = "";
  return target;
}

function redirectRefused(from: URL, wanted: string, actual: string): LazuliError {
  return failedPrecondition(`Cannot follow the redirect of ${from.host}: want ${wanted}, got ${actual}`, {
    subject: from.host,
    reason: "redirect-refused",
    hint: "If this is meant, allow it in the configuration of the registry client",
  });
}
