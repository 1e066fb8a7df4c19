import { LazuliError } from "../client/index.js";
import { clientOptions, openClient } from "./client-options.js";
import { type Command, jsonOption } from "./command.js";
import { signalled } from "./signalled.js";

export const eventsCommand: Command = {
  name: "events",
  summary: "print what happens on a server, as it happens",
  usage: "[FILTER...] [options]",
  positionalsMin: 0,
  positionalsMax: 100,
  description: [
    'Prints an event a line until it is interrupted, of all namespaces. FILTER is containerd\'s: `namespace==default`, `topic~="/tasks/"`; several are alternatives. With --json each line is a JSON object.',
  ],
  options: { ...clientOptions, json: jsonOption },
  examples: [["lazuli events 'topic==\"/tasks/exit\"' --json", "Ends of processes, for a script."]],
  run: async (input) => {
    using client = await openClient(input);
    using stop = signalled();
    const isJson = input.options.json !== undefined;
    try {
      for await (const event of client.events(input.positionals, { signal: stop.signal })) {
        const time = new Date(Number(event.timestamp / 1_000_000n)).toISOString();
        const fields = plain(event.event);
        const line = isJson
          ? JSON.stringify(
              { time, namespace: event.namespace, topic: event.topic, type: event.type, event: fields },
              text,
            )
          : `${time} ${event.namespace} ${event.topic} ${JSON.stringify(fields ?? {}, text)}`;
        process.stdout.write(`${line}\n`);
      }
    } catch (thrown) {
      if (!(stop.signal.aborted && isCanceled(thrown))) throw thrown;
    }
    return { data: undefined, text: "", isPrinted: true };
  },
};

function isCanceled(thrown: unknown): boolean {
  return thrown instanceof LazuliError && thrown.code === "CANCELED";
}

function plain(message: object | undefined): object | undefined {
  if (message === undefined) return undefined;
  const { $typeName: _, $unknown: __, ...fields } = message as Record<string, unknown>;
  return fields;
}

function text(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  return typeof value === "bigint" ? value.toString() : value;
}
