import type { IncomingMessage, ServerResponse } from "node:http";
import { delay } from "../../src/async/index.js";
import type { Behaviour } from "./behaviour.js";
import { type Content, contentOf } from "./content-store.js";
import type { RequestRecord } from "./request-record.js";

/** The right answer, before a script changes it. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Content;
}

export function textAnswer(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    body: contentOf(Buffer.from(text)),
  };
}

const PIECE_BYTES = 256 * 1024;
/** A slow body comes in this many pieces a second. */
const SLOW_PIECES_PER_SECOND = 50;

/** The right answer to a request for content, whole or a range. */
export function contentAnswer(
  content: Content,
  options: { range: string | undefined; behaviour: Behaviour; headers: Readonly<Record<string, string>> },
): Answer {
  const { behaviour, headers } = options;
  const match = /^bytes=(\d+)-(\d*)$/.exec(options.range ?? "");
  if (match === null || behaviour.ignoreRange === true) {
    return { status: 200, headers: { "accept-ranges": "bytes", ...headers }, body: content };
  }
  const start = Number(match[1]);
  const asked = match[2] === "" ? content.size - 1 : Math.min(Number(match[2]), content.size - 1);
  const end = Math.min(asked, start + (behaviour.rangeBytesMax ?? content.size) - 1);
  if (start >= content.size) {
    return textAnswer(416, "", { "content-range": `bytes */${content.size}` });
  }
  const right = `bytes ${start}-${end}/${content.size}`;
  const contentRange =
    behaviour.contentRange === undefined
      ? right
      : behaviour.contentRange({ start, end, total: content.size });
  const body: Content = {
    size: end - start + 1,
    slice: (from, to) => content.slice(start + from, Math.min(start + to, end + 1)),
  };
  if (behaviour.multipart !== undefined) {
    return multipartAnswer({ body, contentRange: right, multipart: behaviour.multipart });
  }
  const said = contentRange === null ? {} : { "content-range": contentRange };
  return { status: 206, headers: { ...headers, ...said }, body };
}

function multipartAnswer(options: {
  body: Content;
  contentRange: string;
  multipart: NonNullable<Behaviour["multipart"]>;
}): Answer {
  const { body, multipart } = options;
  const boundary = "lazuli-boundary";
  const head = Buffer.from(
    `\r\n--${multipart.boundary ?? boundary}\r\ncontent-type: application/octet-stream\r\n` +
      `content-range: ${multipart.contentRange ?? options.contentRange}\r\n\r\n`,
  );
  const end = Buffer.from(multipart.end === false ? "" : `\r\n--${boundary}--\r\n`);
  let made: Buffer | undefined;
  const whole = async (): Promise<Buffer> => {
    const bytes = await body.slice(0, body.size);
    const parts = Array.from({ length: multipart.parts ?? 1 }, () => [head, bytes]);
    made ??= Buffer.concat([...parts.flat(), end]);
    return made;
  };
  const size = (head.length + body.size) * (multipart.parts ?? 1) + end.length;
  return {
    status: 206,
    headers: { "content-type": `multipart/byteranges; boundary=${boundary}` },
    body: { size, slice: async (from, to) => (await whole()).subarray(from, to) },
  };
}

interface Send {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: RequestRecord;
  readonly answer: Answer;
  readonly behaviour: Behaviour;
  readonly signal: AbortSignal;
}

/** Sends an answer as the script wants it. */
export async function sendAnswer(send: Send): Promise<void> {
  const { request, response, record, behaviour, signal } = send;
  const { socket } = request;
  const breakOff = (): void => void (behaviour.reset === true ? socket.resetAndDestroy() : socket.destroy());
  if (behaviour.delayMs !== undefined) await delay(behaviour.delayMs, { signal });
  if (behaviour.raw !== undefined) {
    socket.end(behaviour.raw);
    return;
  }
  if ((behaviour.cutAfter ?? 0) < 0) return breakOff();
  if ((behaviour.stallAfter ?? 0) < 0) return;
  const body = changedBody(send.answer.body, behaviour);
  const status = behaviour.status ?? send.answer.status;
  record.status = status;
  response.writeHead(status, headersOf({ answer: send.answer, behaviour, body }));
  response.flushHeaders();
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  const stop = Math.min(body.size, behaviour.cutAfter ?? body.size, behaviour.stallAfter ?? body.size);
  const isSlow = behaviour.bytesPerSecond !== undefined;
  const step = isSlow ? Math.ceil(behaviour.bytesPerSecond / SLOW_PIECES_PER_SECOND) : PIECE_BYTES;
  for (let position = 0; position < stop && !socket.destroyed; position += step) {
    const piece = await body.slice(position, Math.min(position + step, stop));
    record.bytesSent += piece.length;
    if (!response.write(piece)) await drained(response);
    if (isSlow) await delay(1000 / SLOW_PIECES_PER_SECOND, { signal });
  }
  if (behaviour.cutAfter !== undefined) return await flushed(response).then(breakOff);
  if (behaviour.stallAfter === undefined) response.end();
}

function changedBody(right: Content, behaviour: Behaviour): Content {
  const base = behaviour.body === undefined ? right : contentOf(Buffer.from(behaviour.body));
  const { flipByte, extraBytes = 0, otherBytes } = behaviour;
  if (flipByte === undefined && extraBytes === 0 && otherBytes === undefined) return base;
  return {
    size: base.size + extraBytes,
    slice: async (start, end) => {
      const bytes = Buffer.from(await base.slice(start, Math.min(end, base.size)));
      if (otherBytes === "zeros") bytes.fill(0);
      if (otherBytes === "noise") for (const [place, byte] of bytes.entries()) bytes[place] = byte ^ 0x55;
      const index = (flipByte ?? -1) - start;
      if (index >= 0 && index < bytes.length) bytes[index]! ^= 0x40;
      const padding = Buffer.alloc(Math.max(0, end - Math.max(start, base.size)), "x");
      return Buffer.concat([bytes, padding]);
    },
  };
}

function headersOf(options: { answer: Answer; behaviour: Behaviour; body: Content }): Record<string, string> {
  const { answer, behaviour, body } = options;
  const headers: Record<string, string> = { ...answer.headers };
  if (behaviour.contentLength !== "none")
    headers["content-length"] = String(behaviour.contentLength ?? body.size);
  for (const [name, value] of Object.entries(behaviour.headers ?? {})) {
    if (value === null) delete headers[name];
    else headers[name] = value;
  }
  return headers;
}

async function drained(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const go = (): void => {
      response.off("drain", go);
      response.off("close", go);
      resolve();
    };
    response.once("drain", go);
    response.once("close", go);
  });
}

/** Gives the bytes that were written the time to leave: a destroyed socket drops what it still holds. */
async function flushed(response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    if (response.socket === null || response.socket.destroyed) return resolve();
    response.socket.write("", () => resolve());
  });
}
