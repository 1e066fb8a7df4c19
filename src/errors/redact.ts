const userinfo = /(\b[a-z][a-z0-9+.-]{0,31}:\/\/)[^\s/@]*@/gi;
const query = /(\b[a-z][a-z0-9+.-]{0,31}:\/\/[^\s?#"']*)\?[^\s#"']*/gi;
const authorization = /\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{8,}/g;

/** What is longer is cut: strangers' texts get into messages, and the patterns take the square of their length. */
const LENGTH_MAX = 16_384;

/**
 * Takes out of a text what must not reach a log or another machine: user names and query strings of URLs
 * (signed URLs carry their secret there), authorization values, and control characters that could forge lines.
 */
export function redact(text: string): string {
  const bounded = text.length > LENGTH_MAX ? `${text.slice(0, LENGTH_MAX)}…` : text;
  return bounded
    .replace(userinfo, "$1")
    .replace(query, "$1?…")
    .replace(authorization, "$1 …")
    .replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
