import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { Mounts, type UpdateRequest } from "../../gen/containerd/services/mounts/v1/mounts_pb.js";
import type { ActivationInfoSchema } from "../../gen/containerd/types/mount_pb.js";
import { invalidArgument } from "../errors/index.js";
import { parseFilters } from "../filters/index.js";
import type { Activation, MountManager } from "../mounts/index.js";
import { requestContext } from "./request-context.js";
import { answer, rpcError } from "./rpc-error.js";
import { mountMessages, timestampOf } from "./snapshot-messages.js";

const LABELS = "labels";

/** `containerd.services.mounts.v1`. */
export function mountsService(manager: MountManager): (router: ConnectRouter) => void {
  const namespaceOf = ({ requestHeader }: HandlerContext) => requestContext(requestHeader).namespace;
  return (router) => {
    router.service(Mounts, {
      activate: ({ name, mounts, labels, temporary }, context) =>
        answer(async () => {
          const { namespace, lease } = requestContext(context.requestHeader);
          const specs = mounts.map(({ type, source, target, options }) => ({
            type,
            source,
            target,
            options,
          }));
          const request = { namespace, name, mounts: specs, labels, isTemporary: temporary, lease };
          return { info: infoMessage(await manager.activate(request, { signal: context.signal })) };
        }),
      deactivate: ({ name }, context) =>
        answer(async () => {
          await manager.deactivate({ namespace: namespaceOf(context), name });
          return {};
        }),
      info: ({ name }, context) =>
        answer(async () => ({ info: infoMessage(manager.info({ namespace: namespaceOf(context), name })) })),
      update: (request, context) =>
        answer(async () => {
          const namespace = namespaceOf(context);
          const name = request.info?.name ?? "";
          const labels = labelsAfter(manager.info({ namespace, name }).labels, request);
          return { info: infoMessage(await manager.label({ namespace, name, labels })) };
        }),
      // Not awaited as a whole: a client that reads slowly holds nothing up.
      list: async function* ({ filters }, context) {
        for (const activation of listed(manager, namespaceOf(context), filters)) {
          yield { info: infoMessage(activation) };
        }
      },
    });
  };
}

function listed(manager: MountManager, namespace: string, filters: readonly string[]): Activation[] {
  try {
    const matches = parseFilters(filters);
    return manager.list(namespace).filter((activation) => matches((path) => fieldOf(activation, path)));
  } catch (thrown) {
    throw rpcError(thrown);
  }
}

function fieldOf({ name, labels }: Activation, path: readonly string[]): string | undefined {
  if (path[0] === "name") return name;
  const key = path.slice(1).join(".");
  return path[0] === LABELS && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

/** Field paths `labels[.<key>]`; none: all labels. What is mounted does not change. */
function labelsAfter(
  before: Activation["labels"],
  { info, updateMask }: UpdateRequest,
): Activation["labels"] {
  const wanted = info?.labels ?? {};
  const paths = updateMask?.paths ?? [];
  let labels: Record<string, string> = paths.length === 0 ? { ...wanted } : { ...before };
  for (const path of paths) {
    const key = path.startsWith(`${LABELS}.`) ? path.slice(LABELS.length + 1) : undefined;
    if (path === LABELS) labels = { ...wanted };
    else if (key === undefined) {
      throw invalidArgument(
        `cannot update ${JSON.stringify(path)} field on ${JSON.stringify(info?.name ?? "")}`,
        {
          reason: "field-path-invalid",
        },
      );
    } else labels = { ...labels, [key]: wanted[key] ?? "" };
  }
  return Object.fromEntries(Object.entries(labels).filter(([, value]) => value !== ""));
}

function infoMessage(activation: Activation): MessageInitShape<typeof ActivationInfoSchema> {
  const { name, active, system, labels } = activation;
  return {
    name,
    active: active.map(({ mount, mountedAt, mountPoint }) => ({
      mount: { ...mount, options: [...mount.options] },
      mountedAt: timestampOf(mountedAt),
      mountPoint,
    })),
    system: mountMessages(system),
    labels: { ...labels },
  };
}
