export { type Service, type ServiceOptions, startService } from "../../src/bench/tools/index.js";
