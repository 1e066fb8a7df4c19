/** The closed set of error codes, named after gRPC's, with what each one means at every border. */

export interface CodeFacts {
  /** gRPC status number (grpc/status.h). */
  readonly grpc: number;
  /** Linux errno that a file system reader sees. */
  readonly errno: number;
  /** Exit code of a command. 2 is bad usage, 1 is everything without a number of its own. */
  readonly exit: number;
}

const EIO = 5;

export const errorCodes = {
  CANCELED: { grpc: 1, errno: 4, exit: 130 },
  UNKNOWN: { grpc: 2, errno: EIO, exit: 1 },
  INVALID_ARGUMENT: { grpc: 3, errno: 22, exit: 2 },
  DEADLINE_EXCEEDED: { grpc: 4, errno: EIO, exit: 4 },
  NOT_FOUND: { grpc: 5, errno: EIO, exit: 5 },
  ALREADY_EXISTS: { grpc: 6, errno: 17, exit: 6 },
  PERMISSION_DENIED: { grpc: 7, errno: EIO, exit: 7 },
  RESOURCE_EXHAUSTED: { grpc: 8, errno: EIO, exit: 8 },
  FAILED_PRECONDITION: { grpc: 9, errno: EIO, exit: 9 },
  ABORTED: { grpc: 10, errno: EIO, exit: 10 },
  OUT_OF_RANGE: { grpc: 11, errno: EIO, exit: 11 },
  UNIMPLEMENTED: { grpc: 12, errno: 95, exit: 12 },
  INTERNAL: { grpc: 13, errno: EIO, exit: 13 },
  UNAVAILABLE: { grpc: 14, errno: EIO, exit: 14 },
  DATA_LOSS: { grpc: 15, errno: EIO, exit: 15 },
  UNAUTHENTICATED: { grpc: 16, errno: EIO, exit: 16 },
} as const satisfies Record<string, CodeFacts>;

export type ErrorCode = keyof typeof errorCodes;
