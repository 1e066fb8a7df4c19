import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Pipe } from "./pipe.js";
import { Schedule } from "./schedule.js";

export interface LinkOptions {
  readonly target: { readonly host: string; readonly port: number };
  /** There and back; each way takes half of it, also for opening and closing a connection. */
  readonly rttMs: number;
  /** Bandwidth of each direction, shared by all connections. */
  readonly bitsPerSecond: number;
  /** Each piece is late by up to this, evenly spread; the order within a connection stays. Default: 0. */
  readonly jitterMs?: number;
  /** Whenever this many bytes have come down, the connection that brought the last of them is reset. Default: never. */
  readonly breakEveryBytes?: number;
  /** From 0 up to 1, for the jitter. */
  readonly random?: () => number;
  /** Port of 127.0.0.1 to listen on; any free one by default. */
  readonly port?: number;
}

export interface Link {
  readonly port: number;
  /** Bytes that went from the target to the clients, and the other way. */
  readonly bytesDown: number;
  readonly bytesUp: number;
  /** Connections opened since the start. */
  readonly connections: number;
  /** Of these, reset because of `breakEveryBytes`. */
  readonly broken: number;
  stop(): Promise<void>;
}

/** Bytes of one connection that may be on their way; then its sender is paused, as a TCP window would do. */
const WINDOW_BYTES_MIN = 1024 * 1024;

/** A piece is at most this long, so that connections share the bandwidth fairly. */
const PIECE_BYTES_MAX = 16 * 1024;

/** Listens on 127.0.0.1 and carries every connection over the simulated link. TCP slow start is not simulated. */
export async function startLink(options: LinkOptions): Promise<Link> {
  const { jitterMs = 0, breakEveryBytes = Number.POSITIVE_INFINITY, random = Math.random } = options;
  const half = options.rttMs / 2;
  const windowBytes = Math.max(WINDOW_BYTES_MIN, (2 * options.bitsPerSecond * options.rttMs) / 8000);
  const counters = { down: 0, up: 0, connections: 0, broken: 0 };
  const countUp = (bytes: number): boolean => {
    counters.up += bytes;
    return true;
  };
  const countDown = (bytes: number): boolean => {
    const isBreak = Math.floor((counters.down + bytes) / breakEveryBytes) > counters.broken;
    if (isBreak) counters.broken += 1;
    else counters.down += bytes;
    return !isBreak;
  };
  const lane = (): Lane => ({
    pipe: new Pipe({ delayMs: half, bitsPerSecond: options.bitsPerSecond }),
    schedule: new Schedule(),
    windowBytes,
    lateMs: () => (jitterMs === 0 ? 0 : random() * jitterMs),
  });
  const down = lane();
  const up = lane();
  const handshakes = new Schedule();
  const sockets = new Set<Socket>();
  const track = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.once("close", () => sockets.delete(socket));
    // A broken connection is closed at both ends below; there is nobody to tell.
    socket.on("error", () => undefined);
    return socket;
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    counters.connections += 1;
    track(client);
    const openedMs = performance.now() + options.rttMs;
    const far = connect({ ...options.target, allowHalfOpen: true });
    far.pause();
    track(far);
    const refuse = (): void => handshakes.add(openedMs, () => client.resetAndDestroy());
    far.once("error", refuse);
    far.once("connect", () => {
      far.off("error", refuse);
      handshakes.add(openedMs, () => {
        carry({ from: client, to: far, lane: up, count: countUp });
        carry({ from: far, to: client, lane: down, count: countDown });
      });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    get bytesDown() {
      return counters.down;
    },
    get bytesUp() {
      return counters.up;
    },
    get connections() {
      return counters.connections;
    },
    get broken() {
      return counters.broken;
    },
    stop: async () => {
      for (const schedule of [down.schedule, up.schedule, handshakes]) schedule.clear();
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

interface Lane {
  readonly pipe: Pipe;
  readonly schedule: Schedule;
  readonly windowBytes: number;
  readonly lateMs: () => number;
}

interface Carry {
  readonly from: Socket;
  readonly to: Socket;
  readonly lane: Lane;
  /** False: the connection breaks in place of delivering the piece. */
  readonly count: (bytes: number) => boolean;
}

/** Moves what one end sends, its end and its break to the other end, each after its time on the link. */
function carry({ from, to, lane, count }: Carry): void {
  let onTheWay = 0;
  let lastDueMs = 0;
  const send = (sizeBytes: number, run: () => void): void => {
    const arrivalMs = lane.pipe.arrivalMs(performance.now(), sizeBytes);
    lastDueMs = Math.max(lastDueMs, arrivalMs + lane.lateMs());
    lane.schedule.add(lastDueMs, run);
  };
  const landed = (sizeBytes: number): void => {
    onTheWay -= sizeBytes;
    if (onTheWay < lane.windowBytes && from.isPaused()) from.resume();
  };
  from.on("data", (data: Buffer) => {
    for (let offset = 0; offset < data.length; offset += PIECE_BYTES_MAX) {
      const piece = data.subarray(offset, offset + PIECE_BYTES_MAX);
      onTheWay += piece.length;
      send(piece.length, () => {
        if (to.destroyed || !to.writable) return;
        if (!count(piece.length)) {
          from.resetAndDestroy();
          to.resetAndDestroy();
          return;
        }
        // The window opens when the receiver took the bytes, so a slow reader holds its sender back.
        to.write(piece, () => landed(piece.length));
      });
    }
    if (onTheWay >= lane.windowBytes) from.pause();
  });
  from.once("end", () => send(0, () => to.end()));
  const close = (broken: boolean): void => send(0, () => (broken ? to.resetAndDestroy() : to.destroySoon()));
  if (from.destroyed) close(true);
  from.once("close", close);
  from.resume();
}
