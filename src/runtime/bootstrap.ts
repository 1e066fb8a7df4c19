import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  BootstrapParamsSchema,
  BootstrapResultSchema,
  LogLevel,
} from "../../gen/containerd/runtime/bootstrap/v1/bootstrap_pb.js";
import { internal, unimplemented } from "../errors/index.js";
import type { AnyValue } from "../metadata/index.js";
import { anyOf } from "./any-values.js";

/** Where a shim serves, and how. */
export interface ShimAddress {
  /** Of the task API. */
  readonly version: 2 | 3;
  /** `unix:///…`, as the shim gave it. */
  readonly address: string;
  readonly protocol: "ttrpc" | "grpc";
}

export interface BootstrapFacts {
  readonly id: string;
  readonly namespace: string;
  readonly version: string;
  readonly daemonProgram: string;
  readonly address: string;
  readonly eventsAddress: string;
  readonly isDebug: boolean;
  readonly options: AnyValue | undefined;
}

/** What shims of containerd 2.2 and newer read. */
export function bootstrapParams(facts: BootstrapFacts): Uint8Array {
  const { options } = facts;
  const params = create(BootstrapParamsSchema, {
    instanceId: facts.id,
    namespace: facts.namespace,
    logLevel: facts.isDebug ? LogLevel.DEBUG : LogLevel.INFO,
    containerdVersion: facts.version,
    containerdTtrpcAddress: facts.eventsAddress,
    containerdGrpcAddress: facts.address,
    containerdBinary: facts.daemonProgram,
    extensions: options === undefined ? [] : [{ value: anyOf(options) }],
  });
  return toBinary(BootstrapParamsSchema, params);
}

/** What older shims read: the options of the runtime, or nothing. */
export function optionsInput(options: AnyValue | undefined): Uint8Array {
  return options === undefined ? new Uint8Array() : toBinary(AnySchema, anyOf(options));
}

const FIRST_PRINTABLE = 0x20;

/**
 * Reads what `start` printed: BootstrapResult, a line of JSON, or the plain address of a shim of version 2. The tags
 * of BootstrapResult are no printable characters. @throws INTERNAL (reason `shim-bad-answer`); UNIMPLEMENTED
 */
export function parseBootstrap(output: Uint8Array): ShimAddress {
  const first = output[0];
  if (first !== undefined && first < FIRST_PRINTABLE && first !== 0x0a) {
    try {
      return checked(fromBinary(BootstrapResultSchema, output));
    } catch (thrown) {
      throw thrown instanceof RangeError || !(thrown instanceof Error) || thrown.name !== "LazuliError"
        ? badAnswer("other bytes", thrown)
        : thrown;
    }
  }
  const text = Buffer.from(output).toString("utf8").trim();
  if (!text.startsWith("{")) return checked({ version: 2, address: text, protocol: "ttrpc" });
  return parseBootstrapJson(text);
}

/** The form of `bootstrap.json` in a bundle. */
export function parseBootstrapJson(text: string): ShimAddress {
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch (cause) {
    throw badAnswer("text that is no JSON", cause);
  }
  const { version, address, protocol } = (fields ?? {}) as Record<string, unknown>;
  return checked({ version, address, protocol });
}

export function bootstrapJson({ version, address, protocol }: ShimAddress): string {
  return JSON.stringify({ version, address, protocol });
}

/** The path of the socket. @throws UNIMPLEMENTED for another kind of address */
export function socketPathOf(address: string): string {
  const path = address.replace(/^unix:\/\//, "");
  if (path.startsWith("/")) return path;
  throw unimplemented(`Cannot connect to ${address}: want an address of unix://, got another`, {
    subject: address,
    reason: "shim-address-unknown",
  });
}

/** An address as sandboxes have it: `<protocol>+unix://<path>`. */
export function parseSandboxAddress(text: string): ShimAddress {
  const [, protocol = "ttrpc", address = text] = /^(ttrpc|grpc)\+(.*)$/.exec(text) ?? [];
  return checked({ version: 3, address, protocol });
}

function checked(facts: {
  readonly version: unknown;
  readonly address: unknown;
  readonly protocol: unknown;
}): ShimAddress {
  const { version, address } = facts;
  const protocol = facts.protocol === "" || facts.protocol === undefined ? "ttrpc" : facts.protocol;
  if (typeof address !== "string" || address === "" || address.length > ADDRESS_LENGTH_MAX) {
    throw badAnswer("none that could be one");
  }
  if (typeof version !== "number" || version < 1 || version > 3) {
    throw unimplemented(`unsupported shim version (${String(version)})`, {
      reason: "shim-version-unsupported",
    });
  }
  if (protocol !== "ttrpc" && protocol !== "grpc") {
    throw unimplemented(`unsupported protocol: ${JSON.stringify(protocol)}`, {
      reason: "shim-protocol-unknown",
    });
  }
  return { version: version === 3 ? 3 : 2, address, protocol };
}

/** Characters; a socket's path has at most 107. */
const ADDRESS_LENGTH_MAX = 4096;

function badAnswer(got: string, cause?: unknown) {
  return internal(`Cannot connect to a shim: want its address on its output, got ${got}`, {
    reason: "shim-bad-answer",
    cause,
  });
}
