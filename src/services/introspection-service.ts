import { readlink } from "node:fs/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  Introspection,
  type PluginInfoRequest,
  type PluginSchema,
} from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import {
  failedPrecondition,
  invalidArgument,
  LazuliError,
  notFound,
  unimplemented,
} from "../errors/index.js";
import { type FieldReader, type Filter, parseFilters } from "../filters/index.js";
import { answer } from "./rpc-error.js";
import { timestampOf } from "./snapshot-messages.js";

/** A part of the daemon under the name that containerd's clients know for such a part. */
export interface PluginFacts {
  /** E.g. `io.containerd.snapshotter.v1`. */
  readonly type: string;
  readonly id: string;
  readonly capabilities: readonly string[];
  readonly exports: Readonly<Record<string, string>>;
  /** Types of the parts that it builds on. */
  readonly requires?: readonly string[];
  /** What it can be used on; none: it does not depend on it. */
  readonly platforms?: readonly { readonly os: string; readonly architecture: string }[];
  /** Why it does not run; one that is not wanted says `skip plugin: …`. */
  readonly initError?: string;
  /** Answers a question about the part itself. @throws UNIMPLEMENTED for a question of another kind */
  readonly info?: (question: Any, options: { readonly signal: AbortSignal }) => Promise<Any>;
}

/** A feature in use that a later version won't have. */
export interface DeprecationWarning {
  /** `io.containerd.deprecation/<word>`. */
  readonly id: string;
  readonly message: string;
  /** Nanoseconds since 1970. */
  readonly lastOccurrence: bigint;
}

export interface IntrospectionServiceOptions {
  /** A UUID that stays the same over restarts. */
  readonly serverId: string;
  readonly plugins: readonly PluginFacts[];
  readonly deprecations: () => readonly DeprecationWarning[];
}

/** grpc's UNKNOWN: what containerd gives for why a plugin does not run. */
const UNKNOWN = 2;

/** containerd says before the text, too, what kind of error it is. */
function parsed(filters: readonly string[]): Filter {
  try {
    return parseFilters(filters);
  } catch (thrown) {
    const { message, reason = "filter-invalid" } = LazuliError.from(thrown);
    throw invalidArgument(`invalid argument: ${message}`, { reason, cause: thrown });
  }
}

/** `containerd.services.introspection.v1`. */
export function introspectionService(options: IntrospectionServiceOptions): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Introspection, {
      plugins: ({ filters }) =>
        answer(async () => {
          const matches = parsed(filters);
          return { plugins: options.plugins.filter((one) => matches(fieldsOf(one))).map(pluginMessage) };
        }),
      server: () =>
        answer(async () => ({
          uuid: options.serverId,
          pid: BigInt(process.pid),
          pidns: await pidNamespace(),
          deprecations: options.deprecations().map(({ id, message, lastOccurrence }) => ({
            id,
            message,
            lastOccurrence: timestampOf(lastOccurrence),
          })),
        })),
      pluginInfo: (request, context) => answer(() => pluginInfo(options.plugins, request, context)),
    });
  };
}

/** The messages are containerd's (services/introspection). */
async function pluginInfo(
  plugins: readonly PluginFacts[],
  { type, id, options }: PluginInfoRequest,
  { signal }: HandlerContext,
) {
  const found = plugins.find((one) => one.type === type && one.id === id);
  if (found === undefined) {
    throw notFound(`plugin ${type}.${id} not found`, { subject: id, reason: "plugin-missing" });
  }
  const plugin = pluginMessage(found);
  if (options === undefined) return { plugin };
  if (found.initError !== undefined) {
    throw failedPrecondition("cannot get extra info, plugin not successfully loaded", {
      subject: id,
      reason: "plugin-off",
    });
  }
  if (found.info === undefined) {
    throw unimplemented("plugin does not provided extra information", {
      subject: id,
      reason: "plugin-without-info",
    });
  }
  return { plugin, extra: await found.info(options, { signal }) };
}

function pluginMessage(facts: PluginFacts): MessageInitShape<typeof PluginSchema> {
  const { type, id, capabilities, exports, requires = [], platforms = [], initError } = facts;
  return {
    type,
    id,
    requires: [...requires],
    platforms: platforms.map((platform) => ({ ...platform })),
    exports: { ...exports },
    capabilities: [...capabilities],
    ...(initError === undefined ? {} : { initErr: { code: UNKNOWN, message: initError } }),
  };
}

function fieldsOf(facts: PluginFacts): FieldReader {
  return ([field]) => (field === "type" ? facts.type : field === "id" ? facts.id : undefined);
}

/** Inode of our PID namespace, from `pid:[4026531836]`; 0 without /proc. */
async function pidNamespace(): Promise<bigint> {
  const text = await readlink("/proc/self/ns/pid").catch(() => ""); // Without /proc there is no number to tell.
  return BigInt(/\d+/.exec(text)?.[0] ?? 0);
}
