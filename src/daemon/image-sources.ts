const SOURCE_LABEL = "containerd.io/distribution.source.";

/** Repositories of one image that are looked at; further ones are left out. */
const SOURCES_MAX = 16;

/** containerd writes the host without its port (url.Hostname()), an IPv6 address without its brackets. */
const bareIpv6 = /^[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}$/;
const hostForm = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9a-fA-F:]{2,45}\])(?::\d{1,5})?$/;
const repositoryForm = /^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/;
const REPOSITORY_LENGTH_MAX = 255;

/**
 * The repositories that containerd wrote beside a blob when it pulled it, as `host/repository`, in label order:
 * label `containerd.io/distribution.source.<host>` = `repository[,repository]`. What is no such name is left out.
 */
export function sourcesOfLabels(labels: Readonly<Record<string, string>>): readonly string[] {
  const sources = new Set<string>();
  for (const [label, value] of Object.entries(labels)) {
    if (!label.startsWith(SOURCE_LABEL)) continue;
    const written = label.slice(SOURCE_LABEL.length);
    const host = bareIpv6.test(written) ? `[${written}]` : written;
    if (!hostForm.test(host)) continue;
    for (const repository of value.split(",")) {
      if (repository.length > REPOSITORY_LENGTH_MAX || !repositoryForm.test(repository)) continue;
      if (sources.size < SOURCES_MAX) sources.add(`${host}/${repository}`);
    }
  }
  return [...sources];
}

/** `host`, `host:port` and the rest behind the first slash of `host[:port]/repository`. */
export function splitSource(source: string): {
  readonly host: string;
  readonly repository: string;
  readonly hasPort: boolean;
} {
  const slash = source.indexOf("/");
  const host = source.slice(0, slash);
  return { host, repository: source.slice(slash + 1), hasPort: /:\d+$/.test(host) };
}

/** Whether a host names this machine, where a registry without a port is hardly ever meant. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || /^127(?:\.\d{1,3}){3}$/.test(host) || host === "[::1]";
}
