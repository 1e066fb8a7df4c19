import type { Behaviour } from "../behaviour.js";
import { always, type Misbehaviour, once, outlived, refused } from "./misbehaviour.js";

const later = (status: number, wait: string): Behaviour => ({ status, headers: { "retry-after": wait } });

/** Statuses that ask for patience, or say no. */
export const statusMisbehaviours: readonly Misbehaviour[] = [
  outlived("N-71", "500 twice", [{ path: /blobs/, times: 2, act: { status: 500 } }]),
  refused("N-72", "500 always", { reason: "server-error", rules: always({ status: 500 }) }),
  outlived(
    "N-73",
    "502 with a page, once",
    once({ status: 502, headers: { "content-type": "text/html" }, body: "<html>bad gateway</html>" }),
  ),
  outlived("N-74", "504, once", once({ status: 504 })),
  refused("N-75", "501", { reason: "unexpected-status", rules: always({ status: 501 }) }),
  outlived("N-76", "408, once", once({ status: 408 })),
  outlived("N-77", "429 with Retry-After 0, once", once(later(429, "0"))),
  outlived("N-78", "429 with Retry-After -1, once", once(later(429, "-1"))),
  outlived("N-79", "429 with Retry-After garbage, once", once(later(429, "soon"))),
  outlived("N-80", "503 with Retry-After of 30 years, once", once(later(503, "1000000000"))),
  outlived("N-81", "503 with Retry-After in 2100, once", once(later(503, "Fri, 31 Dec 2100 23:59:59 GMT"))),
  refused("N-82", "429 always, with Retry-After of 30 years", {
    reason: "too-many-requests",
    rules: always(later(429, "1000000000")),
  }),
  refused("N-83", "404 after success", { reason: "not-found", rules: always({ status: 404 }) }),
  outlived("N-84", "404, once", once({ status: 404 }), { verdicts: { pull: "not-found" } }),
  refused("N-85", "403", { reason: "forbidden", rules: always({ status: 403 }) }),
  refused("N-86", "410", { reason: "not-found", rules: always({ status: 410 }) }),
  refused("N-87", "451", { reason: "unexpected-status", rules: always({ status: 451 }) }),
  refused("N-88", "300 with choices", { reason: "unexpected-status", rules: always({ status: 300 }) }),
  refused("N-89", "304 for what nobody has", { reason: "unexpected-status", rules: always({ status: 304 }) }),
];
