import { readlink } from "node:fs/promises";
import type { ConnectRouter } from "@connectrpc/connect";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.js";
import { notFound } from "../errors/index.js";
import { type FieldReader, parseFilters } from "../filters/index.js";
import { answer } from "./rpc-error.js";

/** A part of the daemon under the name that containerd's clients know for such a part. */
export interface PluginFacts {
  /** E.g. `io.containerd.snapshotter.v1`. */
  readonly type: string;
  readonly id: string;
  readonly capabilities: readonly string[];
  readonly exports: Readonly<Record<string, string>>;
}

export interface IntrospectionServiceOptions {
  /** A UUID that stays the same over restarts. */
  readonly serverId: string;
  readonly plugins: readonly PluginFacts[];
}

/** `containerd.services.introspection.v1`. */
export function introspectionService(options: IntrospectionServiceOptions): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Introspection, {
      plugins: ({ filters }) =>
        answer(async () => {
          const matches = parseFilters(filters);
          return { plugins: options.plugins.filter((one) => matches(fieldsOf(one))).map(pluginMessage) };
        }),
      server: () =>
        answer(async () => ({
          uuid: options.serverId,
          pid: BigInt(process.pid),
          pidns: await pidNamespace(),
        })),
      pluginInfo: ({ type, id }) =>
        answer(async () => {
          const found = options.plugins.find((one) => one.type === type && one.id === id);
          if (found === undefined) {
            throw notFound(`plugin ${type}.${id}`, { subject: id, reason: "plugin-missing" });
          }
          return { plugin: pluginMessage(found) };
        }),
    });
  };
}

function pluginMessage(facts: PluginFacts) {
  return { ...facts, capabilities: [...facts.capabilities], exports: { ...facts.exports } };
}

function fieldsOf(facts: PluginFacts): FieldReader {
  return ([field]) => (field === "type" ? facts.type : field === "id" ? facts.id : undefined);
}

/** Inode of our PID namespace, from `pid:[4026531836]`; 0 without /proc. */
async function pidNamespace(): Promise<bigint> {
  const text = await readlink("/proc/self/ns/pid").catch(() => ""); // Without /proc there is no number to tell.
  return BigInt(/\d+/.exec(text)?.[0] ?? 0);
}
