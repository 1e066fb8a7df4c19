import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { AnyValue } from "../metadata/index.js";

type AnyMessage = MessageInitShape<typeof AnySchema>;

interface RuntimeMessage {
  readonly name: string;
  readonly options?: Any | undefined;
}

/** What containers and sandboxes have in common, between messages and rows. */
export function anyValueOf(any: Any | undefined): AnyValue | undefined {
  return any === undefined ? undefined : { typeUrl: any.typeUrl, value: any.value };
}

export function anyMessage(value: AnyValue): AnyMessage {
  return { typeUrl: value.typeUrl, value: new Uint8Array(value.value) };
}

/** The field of a message, or nothing where there is no value. */
export function anyField<Name extends string>(
  name: Name,
  value: AnyValue | undefined,
): { [Key in Name]?: AnyMessage } {
  const field: { [Key in Name]?: AnyMessage } = {};
  if (value !== undefined) field[name] = anyMessage(value);
  return field;
}

export function extensionValues(extensions: Readonly<Record<string, Any>>): Record<string, AnyValue> {
  return mapped(extensions, ({ typeUrl, value }) => ({ typeUrl, value }));
}

export function extensionMessages(
  extensions: Readonly<Record<string, AnyValue>>,
): Record<string, AnyMessage> {
  return mapped(extensions, anyMessage);
}

export function runtimeOf(runtime: RuntimeMessage | undefined) {
  return { name: runtime?.name ?? "", options: anyValueOf(runtime?.options) };
}

export function runtimeMessage(runtime: { readonly name: string; readonly options: AnyValue | undefined }) {
  return { name: runtime.name, ...anyField("options", runtime.options) };
}

function mapped<From, To>(
  entries: Readonly<Record<string, From>>,
  convert: (one: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(entries).map(([key, one]) => [key, convert(one)]));
}
