import type { ErrorCode } from "./codes.js";
import { type ErrorOptions, LazuliError } from "./lazuli-error.js";

type Maker = (message: string, options?: ErrorOptions) => LazuliError;

function maker(code: ErrorCode): Maker {
  return (message, options) => new LazuliError(code, message, options);
}

export const invalidArgument: Maker = maker("INVALID_ARGUMENT");
export const notFound: Maker = maker("NOT_FOUND");
export const alreadyExists: Maker = maker("ALREADY_EXISTS");
export const failedPrecondition: Maker = maker("FAILED_PRECONDITION");
export const resourceExhausted: Maker = maker("RESOURCE_EXHAUSTED");
export const deadlineExceeded: Maker = maker("DEADLINE_EXCEEDED");
export const permissionDenied: Maker = maker("PERMISSION_DENIED");
export const unauthenticated: Maker = maker("UNAUTHENTICATED");
export const outOfRange: Maker = maker("OUT_OF_RANGE");
export const unimplemented: Maker = maker("UNIMPLEMENTED");
export const unavailable: Maker = maker("UNAVAILABLE");
export const dataLoss: Maker = maker("DATA_LOSS");
export const internal: Maker = maker("INTERNAL");
export const canceled: Maker = maker("CANCELED");
