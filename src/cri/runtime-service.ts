import type { ConnectRouter } from "@connectrpc/connect";
import { RuntimeService } from "../../gen/runtime/v1/api_pb.js";
import { answer, rpcError } from "../services/index.js";
import type { ContainerCalls, NodeCalls, PodCalls, StatsCalls } from "./contract.js";

export interface RuntimeServiceOptions {
  readonly node: NodeCalls;
  readonly pods: PodCalls;
  readonly containers: ContainerCalls;
  readonly stats: StatsCalls;
}

interface Options {
  readonly signal: AbortSignal;
}

/** `runtime.v1.RuntimeService`: who answers which call. */
export function runtimeService(options: RuntimeServiceOptions): (router: ConnectRouter) => void {
  const { node, pods, containers, stats } = options;
  return (router) => {
    router.service(RuntimeService, {
      version: unary(node.version),
      status: unary(node.status),
      runtimeConfig: unary(node.runtimeConfig),
      updateRuntimeConfig: unary(node.updateRuntimeConfig),
      getContainerEvents: streaming(node.getContainerEvents),
      runPodSandbox: unary(pods.runPodSandbox),
      stopPodSandbox: unary(pods.stopPodSandbox),
      removePodSandbox: unary(pods.removePodSandbox),
      podSandboxStatus: unary(pods.podSandboxStatus),
      listPodSandbox: unary(pods.listPodSandbox),
      streamPodSandboxes: streaming(pods.streamPodSandboxes),
      updatePodSandboxResources: unary(pods.updatePodSandboxResources),
      createContainer: unary(containers.createContainer),
      startContainer: unary(containers.startContainer),
      stopContainer: unary(containers.stopContainer),
      removeContainer: unary(containers.removeContainer),
      listContainers: unary(containers.listContainers),
      streamContainers: streaming(containers.streamContainers),
      containerStatus: unary(containers.containerStatus),
      updateContainerResources: unary(containers.updateContainerResources),
      reopenContainerLog: unary(containers.reopenContainerLog),
      execSync: unary(containers.execSync),
      exec: unary(containers.exec),
      attach: unary(containers.attach),
      portForward: unary(containers.portForward),
      checkpointContainer: unary(containers.checkpointContainer),
      containerStats: unary(stats.containerStats),
      listContainerStats: unary(stats.listContainerStats),
      streamContainerStats: streaming(stats.streamContainerStats),
      podSandboxStats: unary(stats.podSandboxStats),
      listPodSandboxStats: unary(stats.listPodSandboxStats),
      streamPodSandboxStats: streaming(stats.streamPodSandboxStats),
      listMetricDescriptors: unary(stats.listMetricDescriptors),
      listPodSandboxMetrics: unary(stats.listPodSandboxMetrics),
      streamPodSandboxMetrics: streaming(stats.streamPodSandboxMetrics),
    });
  };
}

function unary<Request, Response>(
  call: (request: Request, options: Options) => Promise<Response>,
): (request: Request, options: Options) => Promise<Response> {
  return async (request, { signal }) => await answer(async () => await call(request, { signal }));
}

function streaming<Request, Response>(
  call: (request: Request, options: Options) => AsyncIterable<Response>,
): (request: Request, options: Options) => AsyncIterable<Response> {
  return async function* (request, { signal }) {
    try {
      yield* call(request, { signal });
    } catch (thrown) {
      throw rpcError(thrown);
    }
  };
}
