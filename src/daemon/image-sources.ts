const SOURCE_LABEL = "containerd.io/distribution.source.";

/** Repositories of one image that are looked at; further ones are left out. */
const SOURCES_MAX = 16;

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
    const host = label.slice(SOURCE_LABEL.length);
    if (!hostForm.test(host)) continue;
    for (const repository of value.split(",")) {
      if (repository.length > REPOSITORY_LENGTH_MAX || !repositoryForm.test(repository)) continue;
      if (sources.size < SOURCES_MAX) sources.add(`${host}/${repository}`);
    }
  }
  return [...sources];
}
