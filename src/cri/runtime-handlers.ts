import { create, toBinary } from "@bufbuild/protobuf";
import { type Options, OptionsSchema } from "../../gen/containerd/types/runc/options/oci_pb.js";
import { invalidArgument } from "../errors/index.js";
import type { AnyValue } from "../metadata/index.js";
import type { RuntimeHandler, RuntimeHandlers } from "./contract.js";

/** A table of `[cri.runtime.runtimes]`, as the config has it. */
export interface RuntimeTable {
  readonly runtimeType: string;
  readonly runtimePath: string | undefined;
  readonly podAnnotations: readonly string[];
  readonly containerAnnotations: readonly string[];
  readonly privilegedWithoutHostDevices: boolean | undefined;
  readonly privilegedWithoutHostDevicesAllDevicesAllowed: boolean | undefined;
  readonly cgroupWritable: boolean | undefined;
  readonly baseRuntimeSpec: string | undefined;
  readonly cniConfDir: string | undefined;
  readonly cniMaxConfNum: number | undefined;
  readonly snapshotter: string | undefined;
  readonly sandboxer: string;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface RuntimeHandlersOptions {
  readonly tables: Readonly<Record<string, RuntimeTable>>;
  readonly defaultName: string;
}

const RUNC_TYPE = "io.containerd.runc.v2";

/** The config's runtimes. The default one is there also where the config has no table for it. */
export function runtimeHandlers({ tables, defaultName }: RuntimeHandlersOptions): RuntimeHandlers {
  const all = Object.entries(tables).map(([name, table]) => handlerOf(name, table));
  if (!all.some(({ name }) => name === defaultName)) all.push(handlerOf(defaultName, defaultTable));
  all.sort((left, right) => (left.name < right.name ? -1 : 1));
  return {
    all,
    find: (wanted) => {
      const name = wanted === "" ? defaultName : wanted;
      const found = all.find((one) => one.name === name);
      if (found !== undefined) return found;
      throw invalidArgument(`no runtime for ${JSON.stringify(name)} is configured`, {
        subject: name,
        reason: "runtime-handler-unknown",
        hint: `Add a table [cri.runtime.runtimes.${name}]`,
      });
    },
  };
}

const defaultTable: RuntimeTable = {
  runtimeType: RUNC_TYPE,
  runtimePath: undefined,
  podAnnotations: [],
  containerAnnotations: [],
  privilegedWithoutHostDevices: undefined,
  privilegedWithoutHostDevicesAllDevicesAllowed: undefined,
  cgroupWritable: undefined,
  baseRuntimeSpec: undefined,
  cniConfDir: undefined,
  cniMaxConfNum: undefined,
  snapshotter: undefined,
  sandboxer: "podsandbox",
  options: {},
};

function handlerOf(name: string, table: RuntimeTable): RuntimeHandler {
  return {
    name,
    runtime: table.runtimePath ?? table.runtimeType,
    runtimeType: table.runtimeType,
    options: table.runtimeType === RUNC_TYPE ? runcOptions(table.options) : undefined,
    isSystemdCgroup: table.options["SystemdCgroup"] === true,
    podAnnotations: table.podAnnotations,
    containerAnnotations: table.containerAnnotations,
    isPrivilegedWithoutHostDevices: table.privilegedWithoutHostDevices ?? false,
    allowsAllDevicesWhenPrivileged: table.privilegedWithoutHostDevicesAllDevicesAllowed ?? false,
    isCgroupWritable: table.cgroupWritable ?? false,
    baseSpecPath: table.baseRuntimeSpec,
    snapshotter: table.snapshotter,
    sandboxer: table.sandboxer,
    cniConfFolder: table.cniConfDir,
    cniConfMax: table.cniMaxConfNum,
  };
}

function runcOptions(options: Readonly<Record<string, unknown>>): AnyValue {
  const text = (key: string): string => (typeof options[key] === "string" ? options[key] : "");
  const count = (key: string): number => (typeof options[key] === "number" ? options[key] : 0);
  const flag = (key: string): boolean => options[key] === true;
  const message: Options = create(OptionsSchema, {
    noPivotRoot: flag("NoPivotRoot"),
    noNewKeyring: flag("NoNewKeyring"),
    shimCgroup: text("ShimCgroup"),
    ioUid: count("IoUid"),
    ioGid: count("IoGid"),
    binaryName: text("BinaryName"),
    root: text("Root"),
    systemdCgroup: flag("SystemdCgroup"),
    criuImagePath: text("CriuImagePath"),
    criuWorkPath: text("CriuWorkPath"),
  });
  return { typeUrl: OptionsSchema.typeName, value: toBinary(OptionsSchema, message) };
}
