import type { MessageInitShape } from "@bufbuild/protobuf";
import type { LinuxSeccomp, LinuxSeccompSchema } from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import type { RuntimeSeccomp } from "../cdi/index.js";
import { toNumber, toU64 } from "./numbers.js";
import { isGiven, list, optional } from "./resources-message.js";

export function seccompMessage(seccomp: RuntimeSeccomp): MessageInitShape<typeof LinuxSeccompSchema> {
  const { defaultErrnoRet } = seccomp;
  return {
    defaultAction: seccomp.defaultAction,
    ...optional("defaultErrno", isGiven(defaultErrnoRet) ? { value: defaultErrnoRet } : undefined),
    architectures: [...list(seccomp.architectures)],
    flags: [...list(seccomp.flags)],
    listenerPath: seccomp.listenerPath ?? "",
    listenerMetadata: seccomp.listenerMetadata ?? "",
    syscalls: list(seccomp.syscalls).map(({ names, action, errnoRet, args }) => ({
      names: [...list(names)],
      action,
      ...optional("errnoRet", isGiven(errnoRet) ? { value: errnoRet } : undefined),
      args: list(args).map(({ index, value, valueTwo, op }) => ({
        index,
        value: toU64(value),
        valueTwo: toU64(valueTwo ?? 0),
        op,
      })),
    })),
  };
}

export function runtimeSeccomp(policy: LinuxSeccomp): RuntimeSeccomp {
  return {
    defaultAction: policy.defaultAction,
    ...optional("defaultErrnoRet", policy.defaultErrno?.value),
    ...(policy.architectures.length > 0 && { architectures: [...policy.architectures] }),
    ...(policy.flags.length > 0 && { flags: [...policy.flags] }),
    ...(policy.listenerPath !== "" && { listenerPath: policy.listenerPath }),
    ...(policy.listenerMetadata !== "" && { listenerMetadata: policy.listenerMetadata }),
    ...(policy.syscalls.length > 0 && {
      syscalls: policy.syscalls.map(({ names, action, errnoRet, args }) => ({
        names: [...names],
        action,
        ...optional("errnoRet", errnoRet?.value),
        ...(args.length > 0 && {
          args: args.map(({ index, value, valueTwo, op }) => ({
            index,
            value: toNumber(value),
            ...(valueTwo !== 0n && { valueTwo: toNumber(valueTwo) }),
            op,
          })),
        }),
      })),
    }),
  };
}
