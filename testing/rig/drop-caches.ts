export { dropCaches } from "../../src/bench/tools/index.js";
