import t from "tap";
import { suiteRows } from "../../testing/snapshotter-suite/index.js";

await suiteRows(t, ["overlayfs, by our proxy", "overlayfs, of a namespace"]);
