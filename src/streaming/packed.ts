import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { invalidArgument } from "../errors/index.js";

/** A message as containerd's clients want it in an Any: its type is the bare name, without a host before it. */
export function packedObject<Schema extends DescMessage>(
  schema: Schema,
  message: MessageInitShape<Schema>,
): Any {
  return create(AnySchema, { typeUrl: schema.typeName, value: toBinary(schema, create(schema, message)) });
}

/** The name of an object's message, whether a host stands before it or not. */
export function objectType(object: Any): string {
  return object.typeUrl.slice(object.typeUrl.lastIndexOf("/") + 1);
}

/** The message in an Any. @throws INVALID_ARGUMENT for another type, or bytes that are no such message */
export function unpackedObject<Schema extends DescMessage>(
  schema: Schema,
  object: Any,
): MessageShape<Schema> {
  const type = objectType(object);
  const wrong = (actual: string, cause?: unknown): Error =>
    invalidArgument(`Cannot read object: want ${schema.typeName}, got ${actual}`, {
      subject: schema.typeName,
      reason: "object-invalid",
      cause,
    });
  if (type !== schema.typeName) throw wrong(type.slice(0, 200));
  try {
    return fromBinary(schema, object.value);
  } catch (thrown) {
    throw wrong("bytes that are none", thrown);
  }
}
