import { dataLoss } from "../errors/index.js";
import type { ContentInfo, ContentStore } from "./contract.js";
import { ProxyBlobReader } from "./proxy-blob-reader.js";
import { ProxyConnection, type ProxyOptions } from "./proxy-connection.js";
import { openProxyWriter } from "./proxy-ingest-writer.js";
import { contentInfoFrom, infoOfBlob, ingestStatusFrom } from "./proxy-messages.js";

/** Messages of a list without a blob in a row; one more ends it, or a service that never ends would hold its caller. */
const EMPTY_BATCHES_MAX = 100;

/**
 * The content store behind a socket that serves `containerd.services.content.v1`: containerd's own, or ours. Its errors
 * have the codes of the service; UNAVAILABLE with the reason `content-service-unreachable` is the socket's.
 */
export function proxyContentStore(options: ProxyOptions): ContentStore & AsyncDisposable {
  const connection = new ProxyConnection(options);
  const { client } = connection;
  return {
    info: async (digest) =>
      await connection.call({ action: "look up a blob", subject: digest }, async () =>
        infoOfBlob((await client.info({ digest }, connection.callOptions())).info, digest),
      ),
    update: async ({ digest, labels, fieldPaths }) =>
      await connection.call({ action: "update a blob", subject: digest }, async () => {
        const request = { info: { digest, labels: { ...labels } }, updateMask: { paths: [...fieldPaths] } };
        return infoOfBlob((await client.update(request, connection.callOptions())).info, digest);
      }),
    walk: (filters) => walk(connection, filters),
    delete: async (digest) =>
      await connection.call({ action: "delete a blob", subject: digest }, async () => {
        await client.delete({ digest }, connection.callOptions());
      }),
    open: async (digest, { signal } = {}) =>
      await connection.call({ action: "open a blob", subject: digest, signal }, async () => {
        const { info } = await client.info({ digest }, connection.callOptions(signal));
        return new ProxyBlobReader({ connection, digest, size: infoOfBlob(info, digest).size, signal });
      }),
    status: async (ref) =>
      await connection.call({ action: "look up an ingest", subject: ref }, async () =>
        ingestStatusFrom((await client.status({ ref }, connection.callOptions())).status),
      ),
    statuses: async (filters) =>
      await connection.call({ action: "list ingests" }, async () => {
        const answer = await client.listStatuses({ filters: [...filters] }, connection.callOptions());
        return answer.statuses.map(ingestStatusFrom);
      }),
    abort: async (ref) =>
      await connection.call({ action: "abort an ingest", subject: ref }, async () => {
        await client.abort({ ref }, connection.callOptions());
      }),
    writer: async (request) => await openProxyWriter(connection, request),
    [Symbol.asyncDispose]: async () => connection[Symbol.dispose](),
  };
}

async function* walk(connection: ProxyConnection, filters: readonly string[]): AsyncIterable<ContentInfo> {
  const ending = new AbortController();
  try {
    const options = connection.streamOptions(ending.signal);
    const batches = connection.client.list({ filters: [...filters] }, options)[Symbol.asyncIterator]();
    for (let empty = 0; ; ) {
      const next = await connection.inTime({ action: "list blobs" }, batches.next(), () => ending.abort());
      if (next.done === true) break;
      empty = next.value.info.length === 0 ? empty + 1 : 0;
      if (empty > EMPTY_BATCHES_MAX) {
        throw dataLoss(`Cannot list blobs: want blobs or the end, got ${empty} messages of nothing`, {
          reason: "content-answer-endless",
        });
      }
      for (const one of next.value.info) yield contentInfoFrom(one);
    }
  } catch (thrown) {
    throw connection.error(thrown, { action: "list blobs" });
  } finally {
    // A caller that stops early must not leave the service sending.
    ending.abort();
  }
}
