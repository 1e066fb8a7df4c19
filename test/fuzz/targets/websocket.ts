import { EventEmitter } from "node:events";
import type { WebSocket } from "ws";
import { terminalSizes } from "../../../src/cri/streaming/terminal-sizes.js";
import { WebSocketChannels } from "../../../src/cri/streaming/websocket-channels.js";
import { refusingLater } from "../target.js";

const protocols = ["v4.channel.k8s.io", "v5.channel.k8s.io", "base64.channel.k8s.io"];
const RESIZE = 4;

/** Messages of a client, each a line; the first byte says by which protocol. */
export const fuzz = refusingLater(async (bytes) => {
  const nothing = (): void => undefined;
  const socket = Object.assign(new EventEmitter(), {
    protocol: protocols[(bytes[0] ?? 0) % protocols.length] ?? "",
    pause: nothing,
    resume: nothing,
    terminate: nothing,
  });
  const channels = new WebSocketChannels(socket as unknown as WebSocket, { idleTimeoutMs: 10_000 });
  const resizes = channels.receive(RESIZE);
  for (let at = 1, end = 0; at < bytes.length; at = end + 1) {
    end = bytes.indexOf(10, at);
    if (end < 0) end = bytes.length;
    socket.emit("message", bytes.subarray(at, end));
  }
  socket.emit("close");
  for await (const { width, height } of terminalSizes(resizes)) {
    if (!(width >= 0 && height >= 0)) throw new Error(`a terminal of ${width} by ${height}`);
  }
});
