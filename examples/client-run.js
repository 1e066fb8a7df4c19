// Pulls an image, runs a program in it and takes the container away: the client library in thirty lines.
//
//     node client-run.js /run/containerd/containerd.sock docker.io/library/alpine:3.20 echo hello
//
// In a project of your own the import is `from "lazuli/client"`.
import { randomBytes } from "node:crypto";
import { connect, withSeccomp } from "../dist/src/client/index.js";

const [address, reference, ...args] = process.argv.slice(2);
const client = connect({ address });
try {
  const image = await client.pull(reference, {
    onEvent: ({ kind, digest }) => process.stderr.write(`${kind} ${digest.slice(0, 19)}\n`),
  });
  const id = `example-${randomBytes(4).toString("hex")}`;
  const container = await client.createContainer({ id, image, args, options: [withSeccomp()] });
  try {
    const task = await container.newTask({ io: { kind: "inherit" } });
    const exit = task.wait();
    await task.start();
    process.exitCode = (await exit).code;
    await task.outputFinished;
    await task.delete();
  } finally {
    await container.delete();
  }
} finally {
  client[Symbol.dispose]();
}
