import { ImageService, RuntimeService } from "../../gen/runtime/v1/api_pb.js";
import { frame, type Socket, type SocketCase, type SocketRow, socketCases } from "./socket-case.js";

const MIB = 1 << 20;
const runtime = (socket: Socket) => socket.client(RuntimeService);
const images = (socket: Socket) => socket.client(ImageService);

const idsOf: readonly (readonly [name: string, id: string])[] = [
  ["no id", ""],
  ["an id that climbs", "../../../etc"],
  ["an id with a NUL", "a\0b"],
  ["an id of a megabyte", "a".repeat(MIB)],
  ["an id of a prototype's name", "__proto__"],
];
const idRows: SocketRow[] = idsOf.flatMap(([name, id]): SocketRow[] => [
  [
    `${name}: the status of a pod`,
    (socket) => runtime(socket).podSandboxStatus({ podSandboxId: id }),
    "NotFound",
  ],
  [
    `${name}: the stop of a pod that is not there`,
    (socket) => runtime(socket).stopPodSandbox({ podSandboxId: id }),
    "ok",
  ],
  [
    `${name}: the status of a container`,
    (socket) => runtime(socket).containerStatus({ containerId: id }),
    "NotFound",
  ],
  [
    `${name}: the removal of a container that is not there`,
    (socket) => runtime(socket).removeContainer({ containerId: id }),
    "ok",
  ],
  [
    `${name}: the start of a container`,
    (socket) => runtime(socket).startContainer({ containerId: id }),
    "NotFound",
  ],
  [
    `${name}: a command`,
    (socket) => runtime(socket).execSync({ containerId: id, cmd: ["true"] }),
    "NotFound",
  ],
  [
    `${name}: a container in a pod`,
    (socket) =>
      runtime(socket).createContainer({
        podSandboxId: id,
        config: { metadata: { name: "n" } },
        sandboxConfig: {},
      }),
    "NotFound",
  ],
]);

const pull = (socket: Socket, image: string): Promise<unknown> =>
  images(socket).pullImage({ image: { image } });
const imageRows: readonly SocketRow[] = [
  ["no image", (socket) => pull(socket, ""), "InvalidArgument"],
  ["an image that climbs", (socket) => pull(socket, "../../x"), "InvalidArgument"],
  ["an image in upper case", (socket) => pull(socket, "UPPER/Case"), "InvalidArgument"],
  ["an image of a megabyte", (socket) => pull(socket, "a".repeat(MIB)), "InvalidArgument"],
  ["an image with a NUL", (socket) => pull(socket, "a\0b"), "InvalidArgument"],
  ["an image of a bad digest", (socket) => pull(socket, "registry.invalid/a@sha256:../x"), "InvalidArgument"],
  ["an image with a user before its host", (socket) => pull(socket, "user@host/a:1"), "InvalidArgument"],
  ["an image of a port beyond all", (socket) => pull(socket, "127.0.0.1:99999/a:1"), "InvalidArgument"],
  ["a request of no image", (socket) => images(socket).pullImage({}), "InvalidArgument"],
  ["the status of no image", (socket) => images(socket).imageStatus({}), "ok"],
  ["the removal of no image", (socket) => images(socket).removeImage({}), "ok"],
  [
    "a list by an image of a megabyte",
    (socket) => images(socket).listImages({ filter: { image: { image: "a".repeat(MIB) } } }),
    "ok",
  ],
];

const pod = { name: "p", uid: "u", namespace: "n", attempt: 0 };
const run = (socket: Socket, config: object, runtimeHandler = ""): Promise<unknown> =>
  runtime(socket).runPodSandbox({ config, runtimeHandler });
const podRows: readonly SocketRow[] = [
  ["a pod of nothing", (socket) => runtime(socket).runPodSandbox({}), "InvalidArgument"],
  ["a pod without its names", (socket) => run(socket, {}), "InvalidArgument"],
  [
    "a pod of an empty name, where there is no network",
    (socket) => run(socket, { metadata: { ...pod, name: "" } }),
    "FailedPrecondition",
  ],
  ["a pod of an unknown runtime", (socket) => run(socket, { metadata: pod }, "nobody"), "InvalidArgument"],
  [
    "a pod of a runtime of a prototype's name",
    (socket) => run(socket, { metadata: pod }, "constructor"),
    "InvalidArgument",
  ],
  [
    "a list of pods by labels of 1 MiB",
    (socket) => runtime(socket).listPodSandbox({ filter: { labelSelector: { a: "a".repeat(MIB) } } }),
    "ok",
  ],
  [
    "a list of containers of an unknown state",
    (socket) => runtime(socket).listContainers({ filter: { state: { state: 77 as number } } }),
    "ok",
  ],
  [
    "a port of a pod that is not there",
    (socket) => runtime(socket).portForward({ podSandboxId: "gone", port: [-1] }),
    "NotFound",
  ],
  [
    "an attach to nothing",
    (socket) => runtime(socket).attach({ containerId: "gone", stdin: true }),
    "NotFound",
  ],
  [
    "an exec in nothing",
    (socket) => runtime(socket).exec({ containerId: "gone", cmd: [], stdout: true }),
    "NotFound",
  ],
  [
    "a checkpoint of nothing",
    (socket) => runtime(socket).checkpointContainer({ containerId: "gone", location: "/etc/passwd" }),
    "NotFound",
  ],
  [
    "an update of nothing",
    (socket) => runtime(socket).updateContainerResources({ containerId: "gone" }),
    "NotFound",
  ],
  ["the log of nothing", (socket) => runtime(socket).reopenContainerLog({ containerId: "gone" }), "NotFound"],
  [
    "100,000 labels",
    (socket) =>
      run(socket, {
        metadata: { ...pod, name: "" },
        labels: Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`l${at}`, "v"])),
      }),
    "FailedPrecondition",
  ],
  [
    "a request above the limit",
    (socket) => run(socket, { metadata: pod, hostname: "h".repeat(17 * MIB) }),
    "ResourceExhausted",
  ],
  [
    "bytes that are no request",
    (socket) => socket.raw("runtime.v1.RuntimeService/RunPodSandbox", frame(Buffer.alloc(64, 255))),
    "Internal",
  ],
  [
    "a request that is cut",
    (socket) =>
      socket.raw("runtime.v1.RuntimeService/RunPodSandbox", frame(Buffer.alloc(64), { length: 65 })),
    "InvalidArgument",
  ],
];

export const criCases: readonly SocketCase[] = [
  ...socketCases("A-crid", idRows),
  ...socketCases("A-crim", imageRows),
  ...socketCases("A-crip", podRows),
];
