export { Cleanup } from "../../src/bench/tools/index.js";
