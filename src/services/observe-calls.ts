import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** A call that begins. */
export interface ObservedCall {
  /** `containerd.services.images.v1.Images`. */
  readonly service: string;
  readonly method: string;
  /** In the words of gRPC's metrics. */
  readonly kind: "unary" | "client_stream" | "server_stream" | "bidi_stream";
  readonly headers: Headers;
}

/** What somebody keeps of one call. */
export interface CallScope {
  /** The work of the call runs in here, each step of a stream too. */
  run<T>(work: () => T): T;
  /** Once, with `OK` or the name of the gRPC code. */
  end(code: string): void;
}

/** Hands every call, from its first byte to its last, to an observer. */
export function observeCalls(observe: (call: ObservedCall) => CallScope): Interceptor {
  return (next) => async (request) => {
    const { service, method, header } = request;
    const scope = observe({
      service: service.typeName,
      method: method.name,
      kind: kinds[method.methodKind],
      headers: header,
    });
    try {
      const response = await scope.run(() => next(request));
      if (!response.stream) {
        scope.end("OK");
        return response;
      }
      return { ...response, message: observedMessages(response.message, scope) };
    } catch (thrown) {
      scope.end(codeOf(thrown));
      throw thrown;
    }
  };
}

const kinds = {
  unary: "unary",
  client_streaming: "client_stream",
  server_streaming: "server_stream",
  bidi_streaming: "bidi_stream",
} as const;

/** A client that goes away makes the server return from the stream before its end. */
async function* observedMessages<T>(messages: AsyncIterable<T>, scope: CallScope): AsyncIterable<T> {
  let code = Code[Code.Canceled] ?? "";
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await scope.run(() => iterator.next());
      if (done === true) break;
      yield value;
    }
    code = "OK";
  } catch (thrown) {
    code = codeOf(thrown);
    throw thrown;
  } finally {
    scope.end(code);
    if (code === Code[Code.Canceled]) await iterator.return?.();
  }
}

function codeOf(thrown: unknown): string {
  return Code[ConnectError.from(thrown).code] ?? "Unknown";
}
