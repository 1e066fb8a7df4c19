import { log } from "../observe/index.js";

/** Sends one datagram to a Unix socket, as the native addon does. */
export type SendDatagram = (path: string, data: Uint8Array) => void;

export interface ServiceManager {
  ready(status: string): void;
  stopping(): void;
}

/** Tells systemd where the service is (sd_notify(3)); outside of systemd nothing is told. */
export function serviceManager(options: {
  /** $NOTIFY_SOCKET: a path, or "@" and a name in the abstract space. */
  readonly socket: string | undefined;
  readonly send: SendDatagram;
}): ServiceManager {
  const tell = (text: string): void => {
    const { socket } = options;
    if (socket === undefined || !(socket.startsWith("/") || socket.startsWith("@"))) return;
    try {
      options.send(socket, Buffer.from(text));
    } catch (thrown) {
      // The service works without its manager's knowledge; systemd ends it after its own start timeout.
      log.warn("Cannot tell systemd the state of the service", { error: String(thrown), socket });
    }
  };
  return {
    ready: (status) => tell(`READY=1\nSTATUS=${status.replaceAll("\n", " ")}\n`),
    stopping: () => tell("STOPPING=1\nSTATUS=Stopping\n"),
  };
}
