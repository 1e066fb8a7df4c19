import { channel as diagnosticsChannel } from "node:diagnostics_channel";

/** Facts of one event: numbers, words and digests, never a secret. */
export type EventFacts = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/** A named stream of events that leaves the core; logs and metrics subscribe to it. */
export interface Channel<Facts extends EventFacts> {
  readonly name: string;
  publish(facts: Facts): void;
  subscribe(listener: (facts: Facts) => void): Disposable;
}

/** One channel of `node:diagnostics_channel` with typed facts; free while nobody listens. */
export function channel<Facts extends EventFacts>(name: string): Channel<Facts> {
  const inner = diagnosticsChannel(name);
  return {
    name,
    publish: (facts) => {
      if (inner.hasSubscribers) inner.publish(facts);
    },
    subscribe: (listener) => {
      const onMessage = (message: unknown): void => listener(message as Facts);
      inner.subscribe(onMessage);
      return { [Symbol.dispose]: () => inner.unsubscribe(onMessage) };
    },
  };
}
