import { create } from "@bufbuild/protobuf";
import {
  type Container,
  type ContainerAdjustment,
  ContainerAdjustmentSchema,
  Field,
  type Hooks,
  HooksSchema,
  type LinuxContainer,
  type LinuxContainerAdjustment,
  LinuxContainerAdjustmentSchema,
  LinuxContainerSchema,
  type LinuxRdt,
  LinuxRdtSchema,
  LinuxResourcesSchema,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { hookNames, nameOf } from "../cdi/index.js";
import { mergeResources } from "./merge-resources.js";
import type { Owners } from "./owners.js";
import { isRemoval, REMOVAL_MARK, unmarked } from "./removal.js";

/**
 * What all plugins want of a container that is being created. `container` is what the next plugin gets to see: it has
 * the adjustments of those before it.
 */
export class AdjustmentMerge {
  readonly container: Container;
  readonly adjustment: ContainerAdjustment = create(ContainerAdjustmentSchema);
  readonly #linux: LinuxContainerAdjustment;
  readonly #seen: LinuxContainer;
  readonly #owners: Owners;

  constructor(container: Container, owners: Owners) {
    this.container = container;
    this.#owners = owners;
    this.#linux = create(LinuxContainerAdjustmentSchema, { resources: create(LinuxResourcesSchema) });
    this.adjustment.linux = this.#linux;
    this.#seen = container.linux ?? create(LinuxContainerSchema);
    this.#seen.resources ??= create(LinuxResourcesSchema);
    container.linux = this.#seen;
  }

  /** @throws FAILED_PRECONDITION (reason `nri-conflict`) where another plugin has set the same */
  add(wanted: ContainerAdjustment, plugin: string): void {
    const { adjustment, container } = this;
    const merger = new Merger(this.#owners, container.id, plugin);
    merger.table(wanted.annotations, Field.Annotations, [container.annotations, adjustment.annotations]);
    this.#addMounts(wanted, merger);
    this.#addEnvironment(wanted, merger);
    this.#addArguments(wanted, merger);
    this.#addHooks(wanted.hooks, merger);
    if (wanted.linux !== undefined) this.#addLinux(wanted.linux, merger);
    for (const limit of wanted.rlimits) {
      merger.claim(Field.Rlimits, limit.type);
      container.rlimits = [...container.rlimits.filter(({ type }) => type !== limit.type), limit];
      adjustment.rlimits.push(limit);
    }
    for (const device of wanted.CDIDevices) {
      merger.claim(Field.CdiDevices, device.name);
      adjustment.CDIDevices.push(device);
    }
  }

  #addMounts(wanted: ContainerAdjustment, merger: Merger): void {
    const list = { field: Field.Mounts, keyOf: (mount: { destination: string }) => mount.destination };
    const { container, adjustment } = this;
    adjustment.mounts = merger.list(wanted.mounts, { ...list, collected: adjustment.mounts });
    container.mounts = merger.shown(wanted.mounts, { ...list, shown: container.mounts });
  }

  #addEnvironment(wanted: ContainerAdjustment, merger: Merger): void {
    const list = { field: Field.Env, keyOf: ({ key }: { key: string }) => key };
    const { container, adjustment } = this;
    adjustment.env = merger.list(wanted.env, { ...list, collected: adjustment.env });
    const touched = new Set(wanted.env.map(({ key }) => unmarked(key)));
    const kept = container.env.filter((variable) => !touched.has(nameOf(variable)));
    const added = wanted.env.filter(({ key }) => !isRemoval(key));
    container.env = [...kept, ...added.map(({ key, value }) => `${key}=${value}`)];
  }

  #addArguments({ args }: ContainerAdjustment, merger: Merger): void {
    if (args.length === 0) return;
    // An empty first one says that another plugin's are replaced on purpose.
    const isReplacing = args[0] === "";
    if (isReplacing) merger.clear(Field.Args);
    merger.claim(Field.Args);
    this.adjustment.args = isReplacing ? args.slice(1) : args;
    this.container.args = this.adjustment.args;
  }

  #addHooks(hooks: Hooks | undefined, merger: Merger): void {
    if (hooks === undefined || hookNames.every((name) => hooks[name].length === 0)) return;
    this.adjustment.hooks ??= create(HooksSchema);
    this.container.hooks ??= create(HooksSchema);
    for (const name of hookNames) {
      this.adjustment.hooks[name].push(...hooks[name]);
      this.container.hooks[name] = [...this.container.hooks[name], ...hooks[name]];
    }
    merger.join(Field.OciHooks);
  }

  #addLinux(wanted: LinuxContainerAdjustment, merger: Merger): void {
    const all = this.#linux;
    const seen = this.#seen;
    const devices = { field: Field.Devices, keyOf: ({ path }: { path: string }) => path };
    all.devices = merger.list(wanted.devices, { ...devices, collected: all.devices });
    seen.devices = merger.shown(wanted.devices, { ...devices, shown: seen.devices });
    if (wanted.resources !== undefined) {
      mergeResources(wanted.resources, {
        targets: [all.resources!, seen.resources!],
        claim: (field, key) => merger.claim(field, key),
      });
    }
    for (const namespace of wanted.namespaces) {
      const type = unmarked(namespace.type);
      merger.claim(Field.Namespace, type);
      all.namespaces.push(namespace);
      const others = seen.namespaces.filter((other) => other.type !== type);
      seen.namespaces = isRemoval(namespace.type) ? others : [...others, namespace];
    }
    merger.table(wanted.sysctl, Field.Sysctl, [seen.sysctl, all.sysctl]);
    merger.table(wanted.netDevices, Field.LinuxNetDevices, [seen.netDevices, all.netDevices]);
    this.#addSingle(wanted, merger);
    if (wanted.rdt !== undefined) this.#addRdt(wanted.rdt, merger);
  }

  #addSingle(wanted: LinuxContainerAdjustment, merger: Merger): void {
    const all = this.#linux;
    const seen = this.#seen;
    if (wanted.cgroupsPath !== "") {
      merger.claim(Field.CgroupsPath);
      all.cgroupsPath = seen.cgroupsPath = wanted.cgroupsPath;
    }
    if (wanted.oomScoreAdj !== undefined) {
      merger.claim(Field.OomScoreAdj);
      all.oomScoreAdj = seen.oomScoreAdj = wanted.oomScoreAdj;
    }
    if (wanted.ioPriority !== undefined) {
      merger.claim(Field.IoPriority);
      all.ioPriority = seen.ioPriority = wanted.ioPriority;
    }
    if (wanted.seccompPolicy !== undefined) {
      merger.claim(Field.SeccompPolicy);
      all.seccompPolicy = seen.seccompPolicy = wanted.seccompPolicy;
    }
    if (wanted.scheduler !== undefined) {
      merger.claim(Field.LinuxSched);
      all.scheduler = seen.scheduler = wanted.scheduler;
    }
    if (wanted.memoryPolicy !== undefined) {
      merger.claim(Field.MemoryPolicy);
      all.memoryPolicy = wanted.memoryPolicy;
    }
  }

  #addRdt(wanted: LinuxRdt, merger: Merger): void {
    const parts = {
      closId: Field.RdtClosID,
      schemata: Field.RdtSchemata,
      enableMonitoring: Field.RdtEnableMonitoring,
    };
    if (wanted.remove) {
      for (const field of Object.values(parts)) merger.clear(field);
      this.#linux.rdt = create(LinuxRdtSchema, { remove: true });
    }
    const rdt = this.#linux.rdt ?? create(LinuxRdtSchema);
    for (const [key, field] of Object.entries(parts) as [keyof typeof parts, Field][]) {
      if (wanted[key] === undefined) continue;
      merger.claim(field);
      Object.assign(rdt, { [key]: wanted[key] });
    }
    this.#linux.rdt = rdt;
  }
}

interface ListMerge<Item> {
  readonly field: Field;
  readonly keyOf: (item: Item) => string;
}

/** The claims of one plugin on one container. */
class Merger {
  readonly #owners: Owners;
  readonly #id: string;
  readonly #plugin: string;

  constructor(owners: Owners, id: string, plugin: string) {
    this.#owners = owners;
    this.#id = id;
    this.#plugin = plugin;
  }

  claim(field: Field, key?: string): void {
    this.#owners.claim(this.#id, { field, key, plugin: this.#plugin });
  }

  clear(field: Field, key?: string): void {
    this.#owners.clear(this.#id, { field, key, plugin: this.#plugin });
  }

  join(field: Field): void {
    this.#owners.join(this.#id, { field, plugin: this.#plugin });
  }

  /** What was collected, with what the plugin adds and, marked, what it takes away. */
  list<Item>(
    wanted: readonly Item[],
    merge: ListMerge<Item> & { readonly collected: readonly Item[] },
  ): Item[] {
    const { field, keyOf } = merge;
    const removals = wanted.filter((item) => isRemoval(keyOf(item)));
    const removed = new Set(removals.map((item) => unmarked(keyOf(item))));
    const kept = merge.collected.filter((item) => {
      if (!removed.has(keyOf(item))) return true;
      this.clear(field, keyOf(item));
      return false;
    });
    const added = wanted.filter((item) => !isRemoval(keyOf(item)));
    for (const item of added) this.claim(field, keyOf(item));
    // Removals come first: what is added by the same plugin stays.
    return [...kept, ...removals, ...added];
  }

  /** What the next plugin sees of a list. */
  shown<Item>(wanted: readonly Item[], merge: ListMerge<Item> & { readonly shown: readonly Item[] }): Item[] {
    const { keyOf } = merge;
    const touched = new Set(wanted.map((item) => unmarked(keyOf(item))));
    return [
      ...merge.shown.filter((item) => !touched.has(keyOf(item))),
      ...wanted.filter((item) => !isRemoval(keyOf(item))),
    ];
  }

  /** Merges a table into what the next plugin sees and into what is collected. */
  table<Value>(
    wanted: Readonly<Record<string, Value>>,
    field: Field,
    [shown, collected]: readonly [Record<string, Value>, Record<string, Value>],
  ): void {
    for (const [key, value] of Object.entries(wanted)) {
      if (!isRemoval(key)) continue;
      const name = unmarked(key);
      if (Object.hasOwn(collected, name) || Object.hasOwn(wanted, name)) this.clear(field, name);
      delete shown[name];
      delete collected[name];
      put(collected, REMOVAL_MARK + name, value);
    }
    for (const [key, value] of Object.entries(wanted)) {
      if (isRemoval(key)) continue;
      this.claim(field, key);
      delete collected[REMOVAL_MARK + key];
      put(shown, key, value);
      put(collected, key, value);
    }
  }
}

/** Sets a property of this object itself, whatever its name: names come from plugins. */
function put<Value>(table: Record<string, Value>, key: string, value: Value): void {
  Object.defineProperty(table, key, { value, enumerable: true, configurable: true, writable: true });
}
