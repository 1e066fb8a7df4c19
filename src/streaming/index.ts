/**
 * containerd's named streams: objects in both directions over one call, and bytes with flow control over those.
 *
 * A client opens one, names it in another call (pull progress, credentials, archives), and uses it meanwhile:
 *
 *     const id = streamId("progress");
 *     const stream = await openStream({ id, signal, call: (requests) => client.stream(requests, { headers, signal }) });
 *     for (let object; (object = await stream.receive({ signal })) !== undefined; ) show(unpackedObject(ProgressSchema, object));
 *
 *     await sendBytes({ stream, source: createReadStream("image.tar"), signal });   // import: our end sends
 *     for await (const bytes of receiveBytes(stream, { signal })) use(bytes);        // export: our end receives
 *
 * A server answers the call with `serveStream` and finds the stream by `registry.get({ namespace, id })`.
 *
 * Bytes go in frames of at most 32 KiB, each within what the receiver has granted, 64 KiB at most. There is no message
 * for a failure: a source that breaks looks like an end to the receiver, so its error has to reach it another way.
 */
export { FRAME_BYTES, receiveBytes, type SendBytes, sendBytes, WINDOW_BYTES } from "./byte-stream.js";
export { type ObjectStream, objectStream } from "./object-stream.js";
export { type OpenStream, openStream, streamId } from "./open-stream.js";
export { objectType, packedObject, unpackedObject } from "./packed.js";
export { type ServeStream, serveStream } from "./serve-stream.js";
export { type RegisterStream, type StreamName, StreamRegistry } from "./stream-registry.js";
