/** A shorter text would be found in any sentence. */
const SECRET_LENGTH_MIN = 3;

/** Takes out of a server's words what was sent to it in the `Authorization` of the request, in each of its forms. */
export function hideSecrets(text: string, authorization: string | undefined): string {
  if (authorization === undefined) return text;
  const value = authorization.replace(/^\S+\s+/, "");
  const pair = /^Basic\s/i.test(authorization) ? Buffer.from(value, "base64").toString("utf8") : "";
  const colon = pair.indexOf(":");
  const parts = colon < 0 ? [] : [pair, pair.slice(colon + 1), pair.slice(0, colon)];
  return [value, ...parts]
    .filter((secret) => secret.length >= SECRET_LENGTH_MIN)
    .reduce((rest, secret) => rest.replaceAll(secret, "…"), text);
}
