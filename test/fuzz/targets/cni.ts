import { parseNetworkList } from "../../../src/cni/network-list.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => parseNetworkList(bytes, "10-net.conflist"));
