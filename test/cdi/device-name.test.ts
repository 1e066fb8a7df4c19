import t from "tap";
import { devicesOfAnnotations } from "../../src/cdi/index.js";

t.test("devicesOfAnnotations() collects the names of all keys of CDI", async (t) => {
  const annotations = {
    "cdi.k8s.io/b_1": "vendor.com/net=0",
    "cdi.k8s.io/a_1": "vendor.com/gpu=GPU-1:0,vendor.com/gpu=all",
    "other/key": "not a device",
  };
  t.same(devicesOfAnnotations(annotations), [
    "vendor.com/gpu=GPU-1:0",
    "vendor.com/gpu=all",
    "vendor.com/net=0",
  ]);
  t.same(devicesOfAnnotations({}), []);
});

t.test("devicesOfAnnotations() refuses what is no qualified name", async (t) => {
  for (const value of ["", "gpu0", "vendor.com/gpu=0,", "vendor.com/gpu=0 ,x", "vendor.com/gpu=-"]) {
    t.throws(
      () => devicesOfAnnotations({ "cdi.k8s.io/x": value }),
      { code: "INVALID_ARGUMENT", reason: "cdi-name-invalid" },
      value,
    );
  }
});
