import type { Config } from "./config-keys.js";

/** What single keys can't say about the daemon's socket. */
export function checkDaemon({ daemon, state }: Config): readonly string[] {
  const problems: string[] = [];
  if (daemon.group !== undefined && daemon.gid !== 0) {
    problems.push("daemon.group and daemon.gid both name a group: want one of them");
  }
  const isOpen = daemon.group !== undefined || daemon.gid !== 0 || daemon.uid !== 0;
  if (isOpen && daemon.address.startsWith(`${state}/`)) {
    problems.push(
      `daemon.address: nobody but root gets to a socket below state (${state}), want another folder, got "${daemon.address}"`,
    );
  }
  return problems;
}
