import {
  create,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { invalidArgument } from "../errors/index.js";

export interface TtrpcCallContext {
  /** Aborts when the caller's time is over or the connection has ended. */
  readonly signal: AbortSignal;
  readonly metadata: Readonly<Record<string, string>>;
}

type Handler<Method> =
  Method extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, context: TtrpcCallContext) => Promise<MessageInitShape<O>>
    : never;

/** A handler for each method; a method without one is answered with UNIMPLEMENTED. */
export type TtrpcHandlers<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]?: Handler<Service["method"][Name]>;
};

/** Bytes in, bytes out. */
export type TtrpcMethod = (payload: Uint8Array, context: TtrpcCallContext) => Promise<Uint8Array>;

export interface TtrpcService {
  readonly name: string;
  /** By the name on the wire. */
  readonly methods: ReadonlyMap<string, TtrpcMethod>;
}

/** Binds handlers to a generated service. */
export function ttrpcService<Service extends DescService>(
  service: Service,
  handlers: TtrpcHandlers<Service>,
): TtrpcService {
  const methods = new Map<string, TtrpcMethod>();
  for (const method of service.methods) {
    const handler = handlers[method.localName as keyof Service["method"]];
    if (handler === undefined || method.methodKind !== "unary") continue;
    methods.set(method.name, bound(method as DescMethodUnary, handler as Handler<DescMethodUnary>));
  }
  return { name: service.typeName, methods };
}

function bound(method: DescMethodUnary, handler: Handler<DescMethodUnary>): TtrpcMethod {
  return async (payload, context) => {
    const answer = await handler(request(method, payload), context);
    return toBinary(method.output, create(method.output, answer));
  };
}

function request(method: DescMethodUnary, payload: Uint8Array): MessageShape<DescMethodUnary["input"]> {
  try {
    return fromBinary(method.input, payload);
  } catch (cause) {
    throw invalidArgument(`Cannot read the request: want ${method.input.typeName}, got other bytes`, {
      subject: method.name,
      reason: "ttrpc-bad-request",
      cause,
    });
  }
}
