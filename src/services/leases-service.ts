import { randomBytes } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import {
  type LeaseSchema,
  Leases,
  type Resource,
} from "../../gen/containerd/services/leases/v1/leases_pb.js";
import type { LeaseResource, LeaseRow, LeaseTable } from "../metadata/index.js";
import type { CollectionTrigger } from "./collection-trigger.js";
import { requestContext } from "./request-context.js";
import { answer } from "./rpc-error.js";
import { timestampOf } from "./snapshot-messages.js";

export interface LeasesServiceOptions {
  readonly leases: LeaseTable;
  readonly collection: CollectionTrigger;
  /** Nanoseconds since 1970. */
  readonly now: () => bigint;
}

const NANOSECONDS = 1_000_000_000n;
/** As containerd has it: what keeps two leases of the same nanosecond apart. */
const RANDOM_BYTES = 3;

/** `containerd.services.leases.v1`. */
export function leasesService(options: LeasesServiceOptions): (router: ConnectRouter) => void {
  const { leases, collection, now } = options;
  const of = ({ requestHeader }: HandlerContext) => requestContext(requestHeader);
  return (router) => {
    router.service(Leases, {
      create: ({ id, labels }, context) =>
        answer(async () => {
          const { namespace } = of(context);
          const lease = await leases.create({ namespace, id: id === "" ? randomId(now()) : id, labels });
          return { lease: leaseMessage(lease) };
        }),
      delete: ({ id, sync }, context) =>
        answer(async () => {
          await leases.delete({ namespace: of(context).namespace, id });
          if (sync) await collection.scheduleAndWait({ signal: context.signal });
          return {};
        }),
      list: ({ filters }, context) =>
        answer(async () => ({
          leases: leases.list({ namespace: of(context).namespace, filters }).map(leaseMessage),
        })),
      addResource: ({ id, resource }, context) =>
        answer(async () => {
          await leases.addResource({
            namespace: of(context).namespace,
            id,
            resource: resourceOf(resource),
          });
          return {};
        }),
      deleteResource: ({ id, resource }, context) =>
        answer(async () => {
          await leases.deleteResource({
            namespace: of(context).namespace,
            id,
            resource: resourceOf(resource),
          });
          return {};
        }),
      listResources: ({ id }, context) =>
        answer(async () => {
          const resources = leases.listResources({ namespace: of(context).namespace, id });
          return { resources: resources.map((resource) => ({ ...resource })) };
        }),
    });
  };
}

function leaseMessage({ id, createdAt, labels }: LeaseRow): MessageInitShape<typeof LeaseSchema> {
  return { id, createdAt: timestampOf(createdAt), labels: { ...labels } };
}

function resourceOf(resource: Resource | undefined): LeaseResource {
  return { type: resource?.type ?? "", id: resource?.id ?? "" };
}

/** `<nanosecond part of the time>-<base64url>`: containerd's form, which some clients print in columns. */
function randomId(now: bigint): string {
  return `${now % NANOSECONDS}-${randomBytes(RANDOM_BYTES).toString("base64url")}`;
}
