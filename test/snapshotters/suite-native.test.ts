import t from "tap";
import { suiteRows } from "../../testing/snapshotter-suite/index.js";

await suiteRows(t, ["native, direct", "native, over a socket"]);
