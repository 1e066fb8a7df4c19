import { Containers } from "../../gen/containerd/services/containers/v1/containers_pb.js";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.js";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.js";
import { Images } from "../../gen/containerd/services/images/v1/images_pb.js";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.js";
import { Namespaces } from "../../gen/containerd/services/namespaces/v1/namespace_pb.js";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.js";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.js";
import { sha256 } from "../../src/bytes/index.js";
import { counted, frame, type Socket, type SocketCase, type SocketRow, socketCases } from "./socket-case.js";

const MIB = 1 << 20;
const digest = sha256(Buffer.from("of nobody"));
const within = (namespace: string) => ({ headers: { "containerd-namespace": namespace } });
const gate = within("gate");

const info = (socket: Socket, name: string, namespace = "gate"): Promise<unknown> =>
  socket.client(Content).info({ digest: name }, within(namespace));
const digestRows: SocketRow[] = [
  ["no digest", ""],
  ["a path for a digest", "sha256:../../../etc/passwd"],
  ["a digest in upper case", digest.toUpperCase()],
  ["a digest that is too short", digest.slice(0, -1)],
  ["a digest that is too long", `${digest}0`],
  ["a digest with a NUL", `${digest.slice(0, -1)}\0`],
  ["a digest of md5", `md5:${"0".repeat(32)}`],
  ["a digest of a megabyte", `sha256:${"0".repeat(MIB)}`],
].map(([name, text]) => [name!, (socket) => info(socket, text!), "InvalidArgument"]);

const namespaceRows: SocketRow[] = [
  ["a namespace with a slash", "a/b"],
  ["a namespace above its folder", ".."],
  ["a namespace that climbs", "../default"],
  ["a namespace of a space", "a b"],
  ["a namespace of 77 bytes", "n".repeat(77)],
  ["a namespace that begins with a dash", "-n"],
  ["a namespace that ends with a dot", "n."],
  ["a namespace of another script", "%E2%98%83"],
].map(([name, text]) => [name!, (socket) => info(socket, digest, text!), "InvalidArgument"]);

const contextRows: readonly SocketRow[] = [
  ["no namespace", (socket) => socket.client(Content).info({ digest }), "FailedPrecondition"],
  ["an unknown blob", (socket) => info(socket, digest), "NotFound"],
  ["the first of two namespaces", (socket) => info(socket, digest, "gate,../x"), "NotFound"],
  ["a namespace of a prototype's name", (socket) => info(socket, digest, "constructor"), "NotFound"],
];

const slow = `labels."a"~="${"(a+)+".repeat(20)}$"`;
const list = (socket: Socket, filters: string[]): Promise<unknown> =>
  socket.client(Images).list({ filters }, gate);
const filterRows: readonly SocketRow[] = [
  ["a filter that repeats repeats", (socket) => list(socket, [slow]), "ok"],
  ["a filter of no operator", (socket) => list(socket, ["name=="]), "InvalidArgument"],
  ["a filter of two operators", (socket) => list(socket, ["name==a==b"]), "ok"],
  ["a filter of a quote that is open", (socket) => list(socket, ['name=="a']), "InvalidArgument"],
  ["a filter of a bad expression", (socket) => list(socket, ['name~="("']), "InvalidArgument"],
  ["a filter of a megabyte", (socket) => list(socket, ["a".repeat(MIB)]), "InvalidArgument"],
  [
    "10,000 filters",
    (socket) =>
      list(
        socket,
        Array.from({ length: 10_000 }, (_, at) => `name==${at}`),
      ),
    "InvalidArgument",
  ],
  [
    "a filter of blobs of two operators",
    (socket) => counted(socket.client(Content).list({ filters: ["size==="] }, gate)),
    "InvalidArgument",
  ],
  [
    "a filter of events that is none",
    (socket) => counted(socket.client(Events).subscribe({ filters: ["=="] }, { timeoutMs: 2000 })),
    "Unknown",
  ],
];

const labelled = (socket: Socket, id: string, labels: Record<string, string>): Promise<unknown> =>
  socket.client(Leases).create({ id, labels }, gate);
const labelRows: readonly SocketRow[] = [
  ["a label of 4096 bytes", (socket) => labelled(socket, "l1", { k: "v".repeat(4095) }), "ok"],
  [
    "a label of 4097 bytes, as containerd takes it",
    (socket) => labelled(socket, "l2", { k: "v".repeat(4096) }),
    "ok",
  ],
  ["a key of 4097 bytes", (socket) => labelled(socket, "l3", { ["k".repeat(4097)]: "" }), "ok"],
  ["a key of a prototype's name", (socket) => labelled(socket, "l4", { constructor: "x" }), "ok"],
  ["a label of 8 MiB", (socket) => labelled(socket, "l5", { k: "v".repeat(8 * MIB) }), "ok"],
  ["a lease with a slash", (socket) => labelled(socket, "a/b", {}), "ok"],
  ["a lease that climbs: it is no path", (socket) => labelled(socket, "../x", {}), "ok"],
  ["a lease of a kilobyte", (socket) => labelled(socket, "l".repeat(1024), {}), "ok"],
];

const imageLabelled = (socket: Socket, labels: Record<string, string>): Promise<unknown> =>
  socket
    .client(Images)
    .create({ image: { name: "labelled", labels, target: { digest, size: 1n, mediaType: "a/b" } } }, gate);
const imageLabelRows: readonly SocketRow[] = [
  ["an image's label of 4096 bytes", (socket) => imageLabelled(socket, { k: "v".repeat(4095) }), "ok"],
  [
    "an image's label of 4097 bytes",
    (socket) => imageLabelled(socket, { k: "v".repeat(4096) }),
    "InvalidArgument",
  ],
  [
    "an image's label of 8 MiB",
    (socket) => imageLabelled(socket, { k: "v".repeat(8 * MIB) }),
    "InvalidArgument",
  ],
];

const prepare = (socket: Socket, key: string, parent = ""): Promise<unknown> =>
  socket.client(Snapshots).prepare({ snapshotter: "overlayfs", key, parent }, gate);
const nameRows: readonly SocketRow[] = [
  [
    "an unknown snapshotter",
    (socket) => socket.client(Snapshots).stat({ snapshotter: "nobody", key: "k" }, gate),
    "InvalidArgument",
  ],
  ["a snapshot of no key", (socket) => prepare(socket, ""), "InvalidArgument"],
  ["a snapshot of 64 KiB", (socket) => prepare(socket, "k".repeat(65_536)), "InvalidArgument"],
  ["a snapshot with a NUL", (socket) => prepare(socket, "a\0b"), "InvalidArgument"],
  ["a snapshot whose key climbs: it is no path", (socket) => prepare(socket, "../../../etc"), "ok"],
  ["a snapshot on one that is not there", (socket) => prepare(socket, "k", "gone"), "NotFound"],
  ["a snapshot on itself", (socket) => prepare(socket, "self", "self"), "NotFound"],
  [
    "a removal of nothing",
    (socket) => socket.client(Snapshots).remove({ snapshotter: "overlayfs", key: "gone" }, gate),
    "NotFound",
  ],
  [
    "an update of no snapshot",
    (socket) => socket.client(Snapshots).update({ snapshotter: "overlayfs" }, gate),
    "InvalidArgument",
  ],
  [
    "an image of no name",
    (socket) =>
      socket
        .client(Images)
        .create({ image: { name: "", target: { digest, size: 1n, mediaType: "a/b" } } }, gate),
    "InvalidArgument",
  ],
  ["no image", (socket) => socket.client(Images).create({}, gate), "InvalidArgument"],
  [
    "an image of a size below zero",
    (socket) =>
      socket
        .client(Images)
        .create({ image: { name: "n", target: { digest, size: -1n, mediaType: "a/b" } } }, gate),
    "InvalidArgument",
  ],
  [
    "an image of a bad digest",
    (socket) =>
      socket
        .client(Images)
        .create(
          { image: { name: "n", target: { digest: "sha256:../x", size: 1n, mediaType: "a/b" } } },
          gate,
        ),
    "InvalidArgument",
  ],
  [
    "an image that is not there",
    (socket) => socket.client(Images).get({ name: "__proto__" }, gate),
    "NotFound",
  ],
  [
    "a container of no id",
    (socket) => socket.client(Containers).create({ container: { id: "" } }, gate),
    "InvalidArgument",
  ],
  [
    "a container that climbs",
    (socket) =>
      socket
        .client(Containers)
        .create({ container: { id: "../../x", runtime: { name: "io.containerd.runc.v2" } } }, gate),
    "InvalidArgument",
  ],
  [
    "a container that is not there",
    (socket) => socket.client(Containers).get({ id: "gone" }, gate),
    "NotFound",
  ],
  [
    "a namespace that climbs",
    (socket) => socket.client(Namespaces).create({ namespace: { name: "../x" } }),
    "InvalidArgument",
  ],
  ["no namespace to make", (socket) => socket.client(Namespaces).create({}), "InvalidArgument"],
  ["a namespace that is not there", (socket) => socket.client(Namespaces).get({ name: "gone" }), "ok"],
  ["an event of no topic", (socket) => socket.client(Events).publish({ topic: "" }, gate), "InvalidArgument"],
  [
    "an event of a topic that climbs",
    (socket) => socket.client(Events).publish({ topic: "/../x" }, gate),
    "InvalidArgument",
  ],
  [
    "an event of bytes that are not of its type",
    (socket) =>
      socket.client(Events).publish(
        {
          topic: "/images/create",
          event: { typeUrl: "containerd.events.ImageCreate", value: Buffer.alloc(100, 255) },
        },
        gate,
      ),
    "ok",
  ],
  [
    "an event of an unknown type",
    (socket) =>
      socket
        .client(Events)
        .publish({ topic: "/a/b", event: { typeUrl: "x/../../y", value: Buffer.alloc(1 << 20) } }, gate),
    "ok",
  ],
  ["a forward of nothing", (socket) => socket.client(Events).forward({}), "InvalidArgument"],
  ["an ingest of no ref", (socket) => socket.client(Content).abort({ ref: "" }, gate), "NotFound"],
  ["an ingest that climbs", (socket) => socket.client(Content).abort({ ref: "../../x" }, gate), "NotFound"],
];

/** Requests of Content/Write, one after the other. */
const writes =
  (...requests: object[]) =>
  (socket: Socket): Promise<unknown> =>
    counted(
      socket.client(Content).write(
        (async function* () {
          yield* requests;
        })(),
        gate,
      ),
    );
const four = Buffer.from("four");
const writeRows: readonly SocketRow[] = [
  ["a write of no ref", writes({ action: 1 }), "InvalidArgument"],
  ["a write of an unknown action", writes({ action: 77, ref: "u" }), "ok"],
  ["a write behind the end", writes({ action: 1, ref: "far", offset: 1_000n, data: four }), "OutOfRange"],
  ["a write before the start", writes({ action: 1, ref: "neg", offset: -1n, data: four }), "ok"],
  [
    "a commit of another size",
    writes({ action: 1, ref: "size", data: four }, { action: 2, total: 5n }),
    "FailedPrecondition",
  ],
  [
    "a commit of a size below zero",
    writes({ action: 1, ref: "less", data: four }, { action: 2, total: -4n }),
    "ok",
  ],
  [
    "a commit of another digest",
    writes({ action: 1, ref: "sum", data: four }, { action: 2, expected: digest }),
    "FailedPrecondition",
  ],
  [
    "a write of a digest that is none",
    writes({ action: 1, ref: "bad", expected: "sha256:../x", data: four }),
    "InvalidArgument",
  ],
  ["a ref of 64 KiB", writes({ action: 1, ref: "r".repeat(65_536), data: four }), "InvalidArgument"],
  ["a ref with a NUL", writes({ action: 1, ref: "a\0b", data: four }), "InvalidArgument"],
  [
    "a message of 17 MiB",
    writes({ action: 1, ref: "big", data: Buffer.alloc(17 * MIB) }),
    "ResourceExhausted",
  ],
  [
    "a read before the start",
    (socket) => counted(socket.client(Content).read({ digest, offset: -1n }, gate)),
    "NotFound",
  ],
];

const VERSION = "containerd.services.version.v1.Version/Version";
const INFO = "containerd.services.content.v1.Content/Info";
const LIST = "containerd.services.images.v1.Images/List";
const nested = (depth: number): Buffer => {
  let bytes = Buffer.alloc(0);
  for (let at = 0; at < depth; at += 1)
    bytes = Buffer.concat([Buffer.from([0x0a]), varint(bytes.length), bytes]);
  return bytes;
};
const varint = (value: number): Buffer => {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
};
const namespace = { headers: { "containerd-namespace": "gate" } };

const rawRows: readonly SocketRow[] = [
  ["a frame of nothing", (socket) => socket.raw(VERSION, frame(Buffer.alloc(0))), "ok"],
  ["no frame", (socket) => socket.raw(VERSION, Buffer.alloc(0)), "Unimplemented"],
  ["half a head of a frame", (socket) => socket.raw(VERSION, Buffer.alloc(3)), "InvalidArgument"],
  [
    "a frame that is cut",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(10), { length: 100 })),
    "InvalidArgument",
  ],
  [
    "a frame of 4 GiB",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(10), { length: 0xffff_ffff })),
    "ResourceExhausted",
  ],
  [
    "two frames for one",
    (socket) => socket.raw(VERSION, Buffer.concat([frame(Buffer.alloc(0)), frame(Buffer.alloc(0))])),
    "Unimplemented",
  ],
  [
    "a frame packed by nothing",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(4), { flag: 1 })),
    "Internal",
  ],
  [
    "a frame packed by an unknown way",
    (socket) =>
      socket.raw(VERSION, frame(Buffer.alloc(4), { flag: 1 }), { headers: { "grpc-encoding": "rot13" } }),
    "Unimplemented",
  ],
  [
    "a frame with flags of no meaning",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(0), { flag: 0x80 })),
    "ok",
  ],
  [
    "bytes that are no message",
    (socket) => socket.raw(INFO, frame(Buffer.alloc(100, 255)), namespace),
    "Internal",
  ],
  [
    "a field that claims 2 GiB",
    (socket) => socket.raw(INFO, frame(Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x07])), namespace),
    "Internal",
  ],
  [
    "a field of another type",
    (socket) => socket.raw(INFO, frame(Buffer.from([0x08, 0x01])), namespace),
    "Internal",
  ],
  ["an unknown field", (socket) => socket.raw(VERSION, frame(Buffer.from([0xfa, 0x3f, 0x01, 0x00]))), "ok"],
  [
    "unknown groups in groups, 100,000 deep",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(100_000, 0x0b))),
    "Internal",
  ],
  [
    "messages in messages, 1000 deep",
    (socket) => socket.raw(LIST, frame(nested(1000)), namespace),
    "Internal",
  ],
  [
    "a text that is no UTF-8",
    (socket) => socket.raw(INFO, frame(Buffer.from([0x0a, 2, 0xc3, 0x28])), namespace),
    "Internal",
  ],
  [
    "an unknown method",
    (socket) => socket.raw("containerd.services.content.v1.Content/Nothing", frame(Buffer.alloc(0))),
    "Unimplemented",
  ],
  ["an unknown service", (socket) => socket.raw("../../etc/passwd", frame(Buffer.alloc(0))), "Unimplemented"],
  [
    "a method of a prototype's name",
    (socket) => socket.raw("constructor/constructor", frame(Buffer.alloc(0))),
    "Unimplemented",
  ],
  [
    "a deadline that is none",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(0)), { headers: { "grpc-timeout": "soon" } }),
    "InvalidArgument",
  ],
  [
    "a deadline of no time",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(0)), { headers: { "grpc-timeout": "0n" } }),
    "ok",
  ],
  [
    "a header of 1 MiB",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(0)), { headers: { "x-long": "a".repeat(MIB) } }),
    "reset",
  ],
  [
    "a stream that is reset in a frame",
    (socket) => socket.raw(VERSION, frame(Buffer.alloc(3), { length: 10 }), { isCut: true }),
    "reset",
  ],
  ["HTTP/1.1", (socket) => socket.bytes(Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")), "closed"],
  ["a megabyte of noise", (socket) => socket.bytes(Buffer.alloc(MIB, 0xa5)), "closed"],
  [
    "a preface, and noise",
    (socket) =>
      socket.bytes(
        Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.alloc(1000, 0xff)]),
      ),
    "closed",
  ],
  [
    "200 streams that are reset at once",
    async (socket) => {
      const all = Array.from({ length: 200 }, () =>
        socket.raw(VERSION, frame(Buffer.alloc(3), { length: 10 }), { isCut: true }),
      );
      await Promise.all(all);
      return await socket.client(Version).version({});
    },
    "ok",
  ],
];

export const serviceCases: readonly SocketCase[] = [
  ...socketCases("A-digest", digestRows),
  ...socketCases("A-space", [...namespaceRows, ...contextRows]),
  ...socketCases("A-list", filterRows),
  ...socketCases("A-lease", [...labelRows, ...imageLabelRows]),
  ...socketCases("A-name", nameRows),
  ...socketCases("A-write", writeRows),
  ...socketCases("A-frame", rawRows),
];
