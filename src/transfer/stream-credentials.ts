import { KeyedQueue } from "../async/index.js";
import type { Credential, CredentialProvider } from "../registry/index.js";
import type { ObjectStream } from "../streaming/index.js";

/** Hosts that a client is asked for; an image has its registry and a few mirrors. Those beyond are not asked for. */
const HOSTS_MAX = 64;

/** Asks the client itself, over the stream that it opened for that (containerd's `auth_stream`). */
export function streamCredentials(options: {
  readonly stream: ObjectStream;
  readonly reference: string;
}): CredentialProvider {
  const turns = new KeyedQueue<"stream">();
  const known = new Map<string, Credential | undefined>();
  return {
    name: "client of the transfer",
    find: async (query) =>
      // An answer belongs to the question before it.
      await turns.run("stream", async () => {
        const { host, fresh } = query;
        if (known.has(host) && !fresh) return known.get(host);
        if (known.size >= HOSTS_MAX && !known.has(host)) return undefined;
        // Commands that only convert go without the messages of it.
        const { askClient } = await import("./ask-client.js");
        const found = await askClient(options, query);
        known.set(host, found);
        return found;
      }),
  };
}
