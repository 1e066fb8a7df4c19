import t from "tap";
import { suiteRows } from "../../testing/snapshotter-suite/index.js";

await suiteRows(t, ["overlayfs, direct", "overlayfs, over a socket"]);
