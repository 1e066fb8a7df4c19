import t from "tap";
import { errorCodes, LazuliError, notFound, redact } from "../../src/errors/index.js";

t.test("redact() takes secrets and line breaks out of a text", async (t) => {
  t.equal(redact("GET https://user:pass@host/v2/?sig=abc failed"), "GET https://host/v2/?… failed");
  t.equal(redact("a\nb"), "a\\x0ab");
  t.equal(redact("Authorization: Bearer abcdefghijkl"), "Authorization: Bearer …");
});

t.test("LazuliError.from() maps system errors to codes", async (t) => {
  const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
  t.equal(LazuliError.from(full).code, "RESOURCE_EXHAUSTED");
  const broken = Object.assign(new Error("input/output error"), { code: "EIO" });
  t.equal(LazuliError.from(broken).code, "UNAVAILABLE");
  t.equal(LazuliError.from("text").code, "UNKNOWN");
  const own = notFound("x");
  t.equal(LazuliError.from(own), own);
});

t.test("errorCodes has each gRPC number from 1 to 16 once", async (t) => {
  const numbers = Object.values(errorCodes).map((facts) => facts.grpc);
  t.same(
    [...numbers].sort((a, b) => a - b),
    Array.from({ length: 16 }, (_, index) => index + 1),
  );
});
