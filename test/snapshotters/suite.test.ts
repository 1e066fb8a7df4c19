import t from "tap";
import { suiteRows } from "../../testing/snapshotter-suite/index.js";

await suiteRows(t, ["lazy, direct", "lazy, over a socket"]);
