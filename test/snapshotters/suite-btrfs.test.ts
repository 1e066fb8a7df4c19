import t from "tap";
import { suiteRows } from "../../testing/snapshotter-suite/index.js";

await suiteRows(t, ["btrfs, direct", "btrfs, over a socket"]);
