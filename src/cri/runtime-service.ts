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
      version: unary(node.version.bind(node)),
      status: unary(node.status.bind(node)),
      runtimeConfig: unary(node.runtimeConfig.bind(node)),
      updateRuntimeConfig: unary(node.updateRuntimeConfig.bind(node)),
      getContainerEvents: streaming(node.getContainerEvents.bind(node)),
      runPodSandbox: unary(pods.runPodSandbox.bind(pods)),
      stopPodSandbox: unary(pods.stopPodSandbox.bind(pods)),
      removePodSandbox: unary(pods.removePodSandbox.bind(pods)),
      podSandboxStatus: unary(pods.podSandboxStatus.bind(pods)),
      listPodSandbox: unary(pods.listPodSandbox.bind(pods)),
      streamPodSandboxes: streaming(pods.streamPodSandboxes.bind(pods)),
      updatePodSandboxResources: unary(pods.updatePodSandboxResources.bind(pods)),
      createContainer: unary(containers.createContainer.bind(containers)),
      startContainer: unary(containers.startContainer.bind(containers)),
      stopContainer: unary(containers.stopContainer.bind(containers)),
      removeContainer: unary(containers.removeContainer.bind(containers)),
      listContainers: unary(containers.listContainers.bind(containers)),
      streamContainers: streaming(containers.streamContainers.bind(containers)),
      containerStatus: unary(containers.containerStatus.bind(containers)),
      updateContainerResources: unary(containers.updateContainerResources.bind(containers)),
      reopenContainerLog: unary(containers.reopenContainerLog.bind(containers)),
      execSync: unary(containers.execSync.bind(containers)),
      exec: unary(containers.exec.bind(containers)),
      attach: unary(containers.attach.bind(containers)),
      portForward: unary(containers.portForward.bind(containers)),
      checkpointContainer: unary(containers.checkpointContainer.bind(containers)),
      containerStats: unary(stats.containerStats.bind(stats)),
      listContainerStats: unary(stats.listContainerStats.bind(stats)),
      streamContainerStats: streaming(stats.streamContainerStats.bind(stats)),
      podSandboxStats: unary(stats.podSandboxStats.bind(stats)),
      listPodSandboxStats: unary(stats.listPodSandboxStats.bind(stats)),
      streamPodSandboxStats: streaming(stats.streamPodSandboxStats.bind(stats)),
      listMetricDescriptors: unary(stats.listMetricDescriptors.bind(stats)),
      listPodSandboxMetrics: unary(stats.listPodSandboxMetrics.bind(stats)),
      streamPodSandboxMetrics: streaming(stats.streamPodSandboxMetrics.bind(stats)),
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
