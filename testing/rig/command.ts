export { type CommandOptions, type CommandResult, command } from "../../src/bench/tools/index.js";
