import { createServer } from "node:net";
import { unavailable } from "../../errors/index.js";

/** A TCP port of 127.0.0.1 that nobody listens on right now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string")
    throw unavailable("Cannot find a free port: the kernel gave none", { reason: "port-missing" });
  return address.port;
}
