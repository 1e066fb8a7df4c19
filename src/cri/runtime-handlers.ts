import { release } from "node:os";
import { create, toBinary } from "@bufbuild/protobuf";
import { OptionsSchema } from "../../gen/containerd/types/runc/options/oci_pb.js";
import { invalidArgument, LazuliError } from "../errors/index.js";
import type { AnyValue } from "../metadata/index.js";
import { log } from "../observe/index.js";
import type { TaskManager } from "../runtime/index.js";
import type { RuntimeFeatures, RuntimeHandler, RuntimeHandlers } from "./contract.js";
import type { RuntimeTable } from "./spec/index.js";

/** A table of `[cri.runtime.runtimes]`, as the config has it. */
export interface RuntimeHandlerTable extends Omit<RuntimeTable, "baseSpec" | "hasRecursiveReadOnlyMounts"> {
  readonly runtimeType: string;
  readonly runtimePath: string | undefined;
  readonly baseRuntimeSpec: string | undefined;
  readonly cniConfDir: string | undefined;
  readonly cniMaxConfNum: number | undefined;
  readonly snapshotter: string | undefined;
  readonly sandboxer: string;
}

export interface RuntimeHandlersOptions {
  readonly tables: Readonly<Record<string, RuntimeHandlerTable>>;
  readonly defaultName: string;
  readonly tasks: Pick<TaskManager, "runtimeInfo">;
  /** Reads and checks a file that `base_runtime_spec` names. */
  readonly readBaseSpec: (path: string) => Promise<RuntimeTable["baseSpec"]>;
}

const RUNC_TYPE = "io.containerd.runc.v2";
/** Linux that can make a tree of mounts read-only (mount_setattr(2)). */
const RECURSIVE_LINUX = [5, 12] as const;

/** The config's runtimes, with what their shims tell of them. @throws what `readBaseSpec` throws */
export async function openRuntimeHandlers(options: RuntimeHandlersOptions): Promise<RuntimeHandlers> {
  const { tables, defaultName } = options;
  const all = await Promise.all(
    Object.entries(tables)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, table]) => handlerOf(options, name, table)),
  );
  return {
    all,
    find: (asked) => {
      const name = asked === "" ? defaultName : asked;
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

async function handlerOf(
  { tasks, readBaseSpec }: RuntimeHandlersOptions,
  name: string,
  table: RuntimeHandlerTable,
): Promise<RuntimeHandler> {
  const { baseRuntimeSpec } = table;
  const runtime = table.runtimePath ?? table.runtimeType;
  const options = table.runtimeType === RUNC_TYPE ? runcOptions(table.options) : undefined;
  const features = await featuresOf(tasks, { runtime, options });
  return {
    name,
    runtime,
    runtimeType: table.runtimeType,
    options,
    table: {
      ...table,
      baseSpec: baseRuntimeSpec === undefined ? undefined : await readBaseSpec(baseRuntimeSpec),
      hasRecursiveReadOnlyMounts: features?.hasRecursiveReadOnlyMounts ?? false,
    },
    features,
    snapshotter: table.snapshotter,
    sandboxer: table.sandboxer,
    cniConfFolder: table.cniConfDir,
    cniConfMax: table.cniMaxConfNum,
  };
}

/** `features.Features` of the OCI runtime specification, in JSON. */
interface OciFeatures {
  readonly mountOptions?: readonly string[];
  readonly linux?: {
    readonly namespaces?: readonly string[];
    readonly mountExtensions?: { readonly idmap?: { readonly enabled?: boolean } };
  };
}

async function featuresOf(
  tasks: RuntimeHandlersOptions["tasks"],
  request: { readonly runtime: string; readonly options: AnyValue | undefined },
): Promise<RuntimeFeatures | undefined> {
  try {
    const { features } = await tasks.runtimeInfo(request);
    if (features === undefined) return undefined;
    const { mountOptions, linux } = JSON.parse(Buffer.from(features.value).toString("utf8")) as OciFeatures;
    return {
      hasRecursiveReadOnlyMounts: mountOptions?.includes("rro") === true && isLinuxSince(RECURSIVE_LINUX),
      hasUserNamespaces:
        linux?.namespaces?.includes("user") === true && linux.mountExtensions?.idmap?.enabled === true,
    };
  } catch (thrown) {
    log.debug("A runtime does not tell its features", {
      runtime: request.runtime,
      error: LazuliError.from(thrown).message,
    });
    return undefined;
  }
}

function isLinuxSince([wantedMajor, wantedMinor]: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

function runcOptions(options: Readonly<Record<string, unknown>>): AnyValue {
  const text = (key: string): string => (typeof options[key] === "string" ? options[key] : "");
  const count = (key: string): number => (typeof options[key] === "number" ? options[key] : 0);
  const flag = (key: string): boolean => options[key] === true;
  const message = create(OptionsSchema, {
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
