import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import { startService } from "./service.js";

export interface DockerRegistry {
  /** `127.0.0.1:<port>`, plain HTTP. */
  readonly host: string;
  readonly port: number;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Debian's docker-registry on a folder. */
export async function startDockerRegistry(options: {
  folder: string;
  port?: number;
}): Promise<DockerRegistry> {
  const { folder } = options;
  const port = options.port ?? (await freePort());
  await mkdir(join(folder, "blobs"), { recursive: true });
  const config = `version: 0.1
log: { level: warn }
storage: { filesystem: { rootdirectory: ${join(folder, "blobs")} }, delete: { enabled: true } }
http: { addr: "127.0.0.1:${port}" }
`;
  await writeFile(join(folder, "config.yml"), config);
  const service = await startService({
    program: "docker-registry",
    args: ["serve", join(folder, "config.yml")],
    logFile: join(folder, "registry.log"),
    ready: port,
  });
  return { host: `127.0.0.1:${port}`, port, stop: service.stop };
}
