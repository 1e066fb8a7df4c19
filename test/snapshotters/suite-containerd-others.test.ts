import t from "tap";
import { suiteRows } from "../../testing/snapshotter-suite/index.js";

await suiteRows(t, ["containerd's native", "containerd's btrfs"]);
