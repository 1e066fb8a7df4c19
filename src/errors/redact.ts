const userinfo = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi;
const query = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s?#"']*)\?[^\s#"']*/gi;
const authorization = /\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{8,}/g;

/**
 * Takes out of a text what must not reach a log or another machine: user names and query strings of URLs
 * (signed URLs carry their secret there), authorization values, and control characters that could forge lines.
 */
export function redact(text: string): string {
  return text
    .replace(userinfo, "$1")
    .replace(query, "$1?…")
    .replace(authorization, "$1 …")
    .replace(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
