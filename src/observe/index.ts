/**
 * Events leave the core here; logs and metrics are subscribers.
 *
 *     const fetched = channel<{ host: string; bytes: number }>("lazuli:registry.fetched");
 *     fetched.publish({ host: "registry.example", bytes: 4096 });
 */
export { type Channel, channel, type EventFacts } from "./channel.js";
export { type DeprecationName, deprecatedChannel } from "./deprecation.js";
export { armFailurePoint, type FailurePoint, failurePoint, failurePointNames } from "./failure-point.js";
export { type LogLevel, type LogRecord, log, logChannel } from "./log.js";
