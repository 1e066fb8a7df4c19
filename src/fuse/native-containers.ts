/** Files and networks of containers, off the JS thread. A failed call throws an Error with `code` and `syscall`. */
export interface NativeContainers {
  /**
   * A regular file below a root, whose links lead inside it; undefined for none, another kind of file, or one with more
   * than `bytesMax`, which is at most 64 MiB.
   */
  readFile(root: string, path: string, bytesMax: number): Promise<Buffer | undefined>;
  /**
   * Connects to a port of localhost in the network namespace that a path names, "" being ours: by IPv4, else by IPv6.
   * The caller owns the socket, which is non-blocking. ECONNREFUSED, ETIMEDOUT after 3 s for each of them.
   */
  connect(namespacePath: string, port: number): Promise<number>;
}
