/**
 * The server to which kubelets are sent for exec, attach and port-forward: WebSocket and SPDY/3.1, under URLs that count
 * once.
 *
 *     const server = await startStreamServer({ address: "127.0.0.1", port: 0, tls: undefined, idleTimeoutMs, runtime });
 *     return { url: server.execUrl({ containerId, command: ["sh"], isTerminal: true, stdin: true, stdout: true, stderr: false }) };
 */
export { type StreamServerOptions, startStreamServer } from "./stream-server.js";
