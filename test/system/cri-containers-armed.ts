import { armFailurePoint } from "../../src/observe/index.js";

// Loaded into a daemon before all else: it dies at the step that a test has chosen.
const { LAZULI_TEST_POINT: name } = process.env;
if (name !== undefined && name !== "") {
  armFailurePoint({ name, pass: 1, fire: () => process.kill(process.pid, "SIGKILL") });
}
