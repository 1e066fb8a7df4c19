import type { Behaviour, RegistryServerOptions, Rule } from "../../testing/registry/index.js";
import { always, fails, type HostileCase, once } from "./registry-case.js";

const redirect = (location: string, status = 307): Behaviour => ({ status, headers: { location }, body: "" });
const challenge = (realm: string): Behaviour => ({
  status: 401,
  headers: { "www-authenticate": `Bearer realm="${realm}",service="s",scope="repository:a/b:pull"` },
  body: "",
});
const token = (act: Behaviour): Rule[] => [{ on: "token", act }];
const withTokens: RegistryServerOptions = { auth: { kind: "token" } };

const redirectRefused = fails("FAILED_PRECONDITION", "redirect-refused");
const realmRefused = fails("FAILED_PRECONDITION", "realm-refused");
const tokenInvalid = fails("UNAUTHENTICATED", "token-invalid");

const authCases: readonly HostileCase[] = [
  {
    name: "401 for ever, whatever token",
    server: withTokens,
    rules: always({ status: 401 }),
    expected: fails("UNAUTHENTICATED", "unauthorized"),
  },
  {
    name: "challenge with an endless quote",
    rules: always({ status: 401, headers: { "www-authenticate": `Bearer realm="${"x".repeat(8000)}` } }),
    expected: fails("UNAUTHENTICATED", "unauthorized"),
    requestsMax: 1,
  },
  {
    name: "challenge of an unknown scheme",
    rules: always({ status: 401, headers: { "www-authenticate": "Negotiate abc" } }),
    expected: fails("UNAUTHENTICATED", "unauthorized"),
    requestsMax: 1,
  },
  {
    name: "realm with a file address",
    rules: always(challenge("file:///etc/passwd")),
    expected: realmRefused,
  },
  {
    name: "realm of a metadata service",
    rules: always(challenge("http://169.254.169.254/latest/")),
    expected: realmRefused,
  },
  {
    name: "realm of a metadata service over IPv6",
    rules: always(challenge("http://[fe80::1]/x")),
    expected: realmRefused,
  },
  {
    name: "realm with a password",
    rules: always(challenge("http://u:p@127.0.0.1/")),
    expected: realmRefused,
  },
  { name: "realm that is no address", rules: always(challenge("///")), expected: realmRefused },
  {
    name: "realm of this machine for a public registry",
    isPublic: true,
    rules: always(challenge("http://127.0.0.1:1/token")),
    expected: realmRefused,
  },
  {
    name: "realm by a name of this machine for a public registry",
    isPublic: true,
    rules: always(challenge("http://inside.test:1/token")),
    expected: fails("UNAVAILABLE", "address-refused"),
  },
  {
    name: "realm that redirects",
    server: withTokens,
    rules: token(redirect("http://127.0.0.1:1/")),
    expected: fails("UNAUTHENTICATED", "token-refused"),
  },
  {
    name: "token of 10 MiB",
    server: withTokens,
    rules: token({ body: "x".repeat(10 << 20) }),
    expected: fails("RESOURCE_EXHAUSTED", "too-large"),
  },
  {
    name: "token answer without a token",
    server: withTokens,
    rules: token({ body: '{"tok":"x"}' }),
    expected: tokenInvalid,
  },
  {
    name: "token answer that is null",
    server: withTokens,
    rules: token({ body: "null" }),
    expected: tokenInvalid,
  },
  {
    name: "token answer that is a page",
    server: withTokens,
    rules: token({ body: "<html>" }),
    expected: tokenInvalid,
  },
  {
    name: "token with a line break",
    server: withTokens,
    rules: token({ body: JSON.stringify({ token: "a\r\nx-injected: 1" }) }),
    expected: tokenInvalid,
  },
  {
    name: "token that is a number",
    server: withTokens,
    rules: token({ body: '{"token":5}' }),
    expected: tokenInvalid,
  },
  {
    name: "token server that is down for a moment",
    server: withTokens,
    rules: [{ on: "token", times: 1, act: { status: 503 } }],
    expected: "right bytes",
  },
  {
    name: "token server that stalls",
    server: withTokens,
    rules: token({ stallAfter: -1 }),
    expected: fails("DEADLINE_EXCEEDED", "stalled"),
  },
  {
    name: "tokens that live no time",
    server: { auth: { kind: "token", tokenLifeMs: 0, expiresInSeconds: 300 } },
    rules: [],
    expected: fails("UNAUTHENTICATED", "unauthorized"),
  },
  {
    name: "token life of 10^300 seconds",
    server: { auth: { kind: "token", expiresInSeconds: 1e300 } },
    rules: [],
    expected: "right bytes",
  },
  {
    name: "token life below zero",
    server: { auth: { kind: "token", expiresInSeconds: -5 } },
    rules: [],
    expected: "right bytes",
  },
];

const redirectCases: readonly HostileCase[] = [
  {
    name: "redirect to itself for ever",
    rules: always(redirect("{self}/v2/a/b/blobs/x")),
    expected: fails("FAILED_PRECONDITION", "redirect-limit"),
    requestsMax: 6,
  },
  { name: "redirect without a location", rules: always({ status: 307 }), expected: redirectRefused },
  { name: "redirect to a file", rules: always(redirect("file:///etc/passwd")), expected: redirectRefused },
  {
    name: "redirect to an unknown scheme",
    rules: always(redirect("gopher://127.0.0.1/")),
    expected: redirectRefused,
  },
  {
    name: "redirect with a password",
    rules: always(redirect("http://u:p@127.0.0.1:1/")),
    expected: redirectRefused,
  },
  {
    name: "redirect to a metadata service",
    rules: always(redirect("http://169.254.169.254/")),
    expected: redirectRefused,
  },
  {
    name: "redirect to a metadata service, IPv6",
    rules: always(redirect("http://[fd00:ec2::254]/")),
    expected: redirectRefused,
  },
  {
    name: "redirect of 20 KiB",
    rules: always(redirect(`/${"x".repeat(12_000)}`, 302)),
    expected: fails("NOT_FOUND", "not-found"),
  },
  {
    name: "redirect to a port where nobody listens",
    rules: always(redirect("http://127.0.0.1:1/x")),
    expected: fails("UNAVAILABLE", "connect-failed"),
  },
  {
    name: "redirect once to a dead port",
    rules: once(redirect("http://127.0.0.1:1/x")),
    expected: "right bytes",
  },
  {
    name: "public registry redirects to this machine",
    isPublic: true,
    rules: always(redirect("http://127.0.0.1:1/x")),
    expected: redirectRefused,
  },
  {
    name: "public registry redirects to this machine in hex",
    isPublic: true,
    rules: always(redirect("http://0x7f000001:1/x")),
    expected: redirectRefused,
  },
  {
    name: "public registry redirects to a name of this machine",
    isPublic: true,
    rules: always(redirect("http://inside.test:1/x")),
    expected: fails("UNAVAILABLE", "address-refused"),
  },
  {
    name: "public registry redirects to localhost",
    isPublic: true,
    rules: always(redirect("http://localhost:1/")),
    expected: redirectRefused,
  },
  {
    name: "signatures that are born expired",
    server: { redirect: { signatureLifeMs: -1000 } },
    rules: [],
    expected: fails("PERMISSION_DENIED", "forbidden"),
  },
  {
    name: "storage that cuts the body",
    server: { redirect: {} },
    rules: [{ on: "storage", times: 2, act: { cutAfter: 9000 } }],
    expected: "right bytes",
  },
  {
    name: "storage that ignores ranges",
    server: { redirect: {} },
    rules: [{ on: "storage", act: { ignoreRange: true } }],
    expected: "right bytes",
  },
];

/** Challenges, tokens and redirects that lead astray. */
export const routeCases: readonly HostileCase[] = [...authCases, ...redirectCases];
