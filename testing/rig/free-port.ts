export { freePort } from "../../src/bench/tools/index.js";
