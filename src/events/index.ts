/**
 * Events of the daemon: who makes one publishes it here, who listens subscribes with filters.
 *
 *     const events = createEventExchange({ now });
 *     events.publish({ namespace, topic: "/images/create", event: packedEvent(ImageCreateSchema, { name }) });
 *     for await (const envelope of events.subscribe([`topic~="/tasks/"`], { signal })) …
 */
export {
  createEventExchange,
  type EventEnvelope,
  type EventExchange,
  packedEvent,
} from "./event-exchange.js";
