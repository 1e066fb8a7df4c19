import t from "tap";
import type { NriContainer, NriPod, NriValidatorOptions } from "../../src/nri/index.js";
import { nriRig } from "./rig.js";

const none: NriValidatorOptions = {
  rejectHooks: false,
  rejectRuntimeDefaultSeccomp: false,
  rejectUnconfinedSeccomp: false,
  rejectCustomSeccomp: false,
  rejectNamespaces: false,
  rejectSysctl: false,
  requiredPlugins: [],
  tolerateMissingAnnotation: "",
};
const container: NriContainer = { id: "c", name: "main", spec: {} };

t.test("default_validator refuses what it is told to, and nothing else", async (t) => {
  const cases: { rule: keyof NriValidatorOptions; adjust: object; container?: NriContainer }[] = [
    { rule: "rejectHooks", adjust: { hooks: { poststop: [{ path: "/x" }] } } },
    { rule: "rejectNamespaces", adjust: { linux: { namespaces: [{ type: "-pid" }] } } },
    { rule: "rejectSysctl", adjust: { linux: { sysctl: { a: "1" } } } },
    { rule: "rejectUnconfinedSeccomp", adjust: { linux: { seccompPolicy: {} } } },
    {
      rule: "rejectRuntimeDefaultSeccomp",
      adjust: { linux: { seccompPolicy: {} } },
      container: { ...container, seccompProfile: { kind: "runtime-default" } },
    },
    {
      rule: "rejectCustomSeccomp",
      adjust: { linux: { seccompPolicy: {} } },
      container: { ...container, seccompProfile: { kind: "localhost", path: "/x" } },
    },
  ];
  for (const { rule, adjust, container: own = container } of cases) {
    const strict = await nriRig(t, { validator: { ...none, [rule]: true } });
    await strict.plugin("10-a", { createContainer: async () => ({ adjust }) });
    await t.rejects(
      strict.nri.createContainer({ container: own }),
      { code: "PERMISSION_DENIED", reason: "nri-rejected", message: /10-a/ },
      rule,
    );
    const others = Object.fromEntries(
      Object.entries(none).map(([name, value]) => [name, value === false ? name !== rule : value]),
    ) as unknown as NriValidatorOptions;
    const lenient = await nriRig(t, { validator: others });
    await lenient.plugin("10-a", { createContainer: async () => ({ adjust }) });
    await t.resolves(lenient.nri.createContainer({ container: own }), `not ${rule}`);
  }
});

t.test(
  "default_validator wants required plugins, by its configuration or the pod's annotation",
  async (t) => {
    const { nri, plugin } = await nriRig(t, {
      validator: { ...none, requiredPlugins: ["10-a", "b"], tolerateMissingAnnotation: "tolerate" },
    });
    const create = (annotations: NriPod["annotations"] = {}) =>
      nri.createContainer({ pod: { id: "p", annotations }, container });
    const missing = (names: string) => ({
      code: "PERMISSION_DENIED",
      message: `validation error: required plugins "${names}" not present`,
    });
    await t.rejects(create(), missing("10-a,b"), "also without any plugin");
    await plugin("10-a", {});
    await t.rejects(create(), missing("b"));
    await t.resolves(create({ "tolerate/container.main": "true" }));
    await t.rejects(create({ "tolerate/container.main": "false", tolerate: "true" }), missing("b"));
    await t.rejects(create({ "tolerate/container.other": "true" }), missing("b"));
    await plugin("20-b", {});
    await t.resolves(create());
    const key = "required-plugins.noderesource.dev";
    await t.rejects(create({ [`${key}/pod`]: "[a, c]" }), missing("c"));
    await t.resolves(create({ [key]: "- a\n- b", [`${key}/container.other`]: "[c]" }));
    for (const value of ["text", "{a: b}", "[1]", "[a", "&a [*a]", `[${"x,".repeat(40_000)}]`]) {
      await t.rejects(
        create({ [key]: value }),
        { code: "INVALID_ARGUMENT", reason: "nri-bad-annotation" },
        value,
      );
    }
  },
);
