import { runCli } from "./run-cli.js";

process.exitCode = await runCli({
  arguments: process.argv.slice(2),
  environment: process.env,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
});
