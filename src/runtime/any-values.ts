import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { AnyValue } from "../metadata/index.js";

export function anyOf(value: AnyValue): Any {
  return create(AnySchema, { typeUrl: value.typeUrl, value: new Uint8Array(value.value) });
}

/** The field of a request, or nothing where there is no value. */
export function anyField<Name extends string>(
  name: Name,
  value: AnyValue | undefined,
): { [Key in Name]?: Any } {
  const field: { [Key in Name]?: Any } = {};
  if (value !== undefined) field[name] = anyOf(value);
  return field;
}

export function anyValue(any: Any | undefined): AnyValue | undefined {
  return any === undefined ? undefined : { typeUrl: any.typeUrl, value: any.value };
}
