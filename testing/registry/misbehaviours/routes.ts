import type { Behaviour, Rule } from "../behaviour.js";
import { always, type Misbehaviour, once, outlived, refused } from "./misbehaviour.js";

const redirect = (location: string, status = 307): Behaviour => ({ status, headers: { location }, body: "" });
const challenge = (realm: string): Rule[] =>
  always({ status: 401, headers: { "www-authenticate": `Bearer realm="${realm}",service="s"` }, body: "" });
const fromToken = (act: Behaviour): Rule[] => [{ on: "token", act }];
const withTokens = { auth: { kind: "token" } } as const;
const withStorage = { redirect: {} } as const;

const redirectRefused = "redirect-refused";
const realmRefused = "realm-refused";

/** All of them need a new token. */
const revoked = { server: withTokens, enter: (server: { revokeTokens(): void }) => server.revokeTokens() };

const tokenMisbehaviours: readonly Misbehaviour[] = [
  outlived("N-90", "tokens that are revoked", [], revoked),
  outlived("N-91", "403 for an expired token", [], {
    ...revoked,
    server: { auth: { kind: "token", expiredStatus: 403 } },
  }),
  refused("N-92", "401 without a challenge", { reason: "unauthorized", rules: always({ status: 401 }) }),
  refused("N-93", "401 for every token", {
    reason: "unauthorized",
    rules: always({ status: 401 }),
    server: withTokens,
  }),
  outlived(
    "N-94",
    "a token server that is down for a moment",
    [{ on: "token", times: 1, act: { status: 503 } }],
    revoked,
  ),
  refused("N-95", "a token server that is down", {
    ...revoked,
    reason: "token-server-error",
    rules: fromToken({ status: 500 }),
  }),
  refused("N-96", "a token server that stalls", {
    isSilent: true,
    ...revoked,
    reason: "stalled",
    rules: fromToken({ stallAfter: -1 }),
  }),
  refused("N-97", "a token of 10 MiB", {
    ...revoked,
    reason: "too-large",
    rules: fromToken({ body: "x".repeat(10 << 20) }),
  }),
  refused("N-98", "a token with a line break", {
    ...revoked,
    reason: "token-invalid",
    rules: fromToken({ body: JSON.stringify({ token: "a\r\nx-injected: 1" }) }),
  }),
  refused("N-99", "a token answer without a token", {
    ...revoked,
    reason: "token-invalid",
    rules: fromToken({ body: "{}" }),
  }),
  refused("N-100", "a realm of a metadata service", {
    reason: realmRefused,
    rules: challenge("http://169.254.169.254/latest/"),
  }),
  refused("N-101", "a realm that is a file", {
    reason: realmRefused,
    rules: challenge("file:///etc/passwd"),
  }),
  refused("N-102", "a challenge of an unknown scheme", {
    reason: "unauthorized",
    rules: always({ status: 401, headers: { "www-authenticate": "Negotiate abc" } }),
  }),
];

const redirectMisbehaviours: readonly Misbehaviour[] = [
  refused("N-103", "a redirect to itself for ever", {
    reason: "redirect-limit",
    rules: always(redirect("/v2/a/b/blobs/again")),
  }),
  refused("N-104", "a redirect without a location", {
    reason: redirectRefused,
    rules: always({ status: 307 }),
  }),
  refused("N-105", "a redirect to a file", {
    reason: redirectRefused,
    rules: always(redirect("file:///etc/passwd", 302)),
  }),
  refused("N-106", "a redirect to a metadata service", {
    reason: redirectRefused,
    rules: always(redirect("http://169.254.169.254/", 301)),
  }),
  refused("N-107", "a redirect with a password", {
    reason: redirectRefused,
    rules: always(redirect("http://u:p@127.0.0.1:1/", 303)),
  }),
  refused("N-108", "a redirect to a port where nobody listens", {
    reason: "connect-failed",
    rules: always(redirect("http://127.0.0.1:1/x", 308)),
  }),
  outlived("N-109", "a redirect to a dead port, once", once(redirect("http://127.0.0.1:1/x"))),
  outlived("N-110", "signed addresses that expire", [], {
    server: withStorage,
    enter: (server) => server.expireSignatures(),
  }),
  outlived("N-111", "a storage that cuts twice", [{ on: "storage", times: 2, act: { cutAfter: 5000 } }], {
    server: withStorage,
  }),
  outlived("N-112", "a storage that ignores ranges", [{ on: "storage", act: { ignoreRange: true } }], {
    server: withStorage,
  }),
  refused("N-113", "a storage that says 403 for ever", {
    reason: "forbidden",
    rules: [{ on: "storage", act: { status: 403 } }],
    server: withStorage,
  }),
];

/** Tokens and redirects that lead astray. */
export const routeMisbehaviours: readonly Misbehaviour[] = [...tokenMisbehaviours, ...redirectMisbehaviours];
