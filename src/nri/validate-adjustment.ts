import { parse } from "yaml";
import {
  type Container,
  Field,
  type PodSandbox,
  SecurityProfile_ProfileType,
} from "../../gen/nri/pkg/api/v1alpha1/api_pb.js";
import { invalidArgument, LazuliError, permissionDenied } from "../errors/index.js";
import type { NriValidatorOptions } from "./contract.js";
import type { Owners } from "./owners.js";

const REQUIRED_PLUGINS = "required-plugins.noderesource.dev";
const ANNOTATION_LENGTH_MAX = 64 * 1024;

export interface Validation {
  readonly pod: PodSandbox;
  /** As it was before any plugin saw it. */
  readonly container: Container;
  readonly owners: Owners;
  /** NN-name and name of each plugin. */
  readonly plugins: ReadonlySet<string>;
}

/** The rules of `default_validator`. @throws PERMISSION_DENIED (reason `nri-rejected`) */
export function validateAdjustment(validation: Validation, rules: NriValidatorOptions): void {
  const { container, owners } = validation;
  const hooks = owners.owner(container.id, Field.OciHooks);
  if (rules.rejectHooks && hooks !== undefined) {
    throw rejected(container, `plugin "${hooks}" attempted restricted OCI hook injection`);
  }
  checkSeccomp(validation, rules);
  for (const [type, plugin] of rules.rejectNamespaces ? owners.owners(container.id, Field.Namespace) : []) {
    throw rejected(
      container,
      `attempted restricted namespace adjustment by plugin(s) "${plugin}" (namespace "${type}")`,
    );
  }
  checkRequired(validation, rules);
  const sysctls = rules.rejectSysctl ? owners.owners(container.id, Field.Sysctl) : new Map<string, string>();
  if (sysctls.size > 0) {
    const plugins = [...new Set(sysctls.values())].join(", ");
    throw rejected(container, `attempted restricted sysctl adjustment by plugin(s) ${plugins}`);
  }
}

function checkSeccomp({ container, owners }: Validation, rules: NriValidatorOptions): void {
  const owner = owners.owner(container.id, Field.SeccompPolicy);
  if (owner === undefined) return;
  const kind = container.linux?.seccompProfile?.profileType ?? SecurityProfile_ProfileType.UNCONFINED;
  const rejections = {
    [SecurityProfile_ProfileType.RUNTIME_DEFAULT]: [rules.rejectRuntimeDefaultSeccomp, "runtime default"],
    [SecurityProfile_ProfileType.UNCONFINED]: [rules.rejectUnconfinedSeccomp, "unconfined"],
    [SecurityProfile_ProfileType.LOCALHOST]: [rules.rejectCustomSeccomp, "custom"],
  } as const;
  const [isRejected, name] = rejections[kind];
  if (isRejected)
    throw rejected(container, `plugin ${owner} attempted restricted ${name} seccomp policy adjustment`);
}

function checkRequired({ pod, container, plugins }: Validation, rules: NriValidatorOptions): void {
  const { requiredPlugins, tolerateMissingAnnotation } = rules;
  if (tolerateMissingAnnotation !== "") {
    const tolerated = effectiveAnnotation(pod, tolerateMissingAnnotation, container.name);
    if (tolerated !== undefined && ["1", "t", "true"].includes(tolerated.toLowerCase())) return;
  }
  const annotated = effectiveAnnotation(pod, REQUIRED_PLUGINS, container.name);
  const required = [...requiredPlugins, ...(annotated === undefined ? [] : namesOf(annotated))];
  const missing = required.filter((name) => !plugins.has(name));
  if (missing.length > 0) throw rejected(container, `required plugins "${missing.join(",")}" not present`);
}

/** What a pod says of one of its containers, or of all. */
function effectiveAnnotation(
  { annotations }: PodSandbox,
  key: string,
  container: string,
): string | undefined {
  const keys = [`${key}/container.${container}`, `${key}/pod`, key];
  const found = keys.find((one) => Object.hasOwn(annotations, one));
  return found === undefined ? undefined : annotations[found];
}

function namesOf(text: string): string[] {
  let names: unknown;
  try {
    names =
      text.length > ANNOTATION_LENGTH_MAX ? undefined : parse(text, { maxAliasCount: 0, logLevel: "error" });
  } catch (thrown) {
    throw badAnnotation(LazuliError.from(thrown).message);
  }
  if (!Array.isArray(names) || names.some((name) => typeof name !== "string"))
    throw badAnnotation(typeof names);
  return names;
}

function badAnnotation(got: string): LazuliError {
  return invalidArgument(`invalid ${REQUIRED_PLUGINS} annotation: want a YAML list of names, got ${got}`, {
    subject: REQUIRED_PLUGINS,
    reason: "nri-bad-annotation",
  });
}

export function rejected(container: Container, why: string): LazuliError {
  return permissionDenied(`validation error: ${why}`, {
    subject: container.id,
    reason: "nri-rejected",
    hint: "Change the NRI plugin, or the rules of default_validator",
  });
}
