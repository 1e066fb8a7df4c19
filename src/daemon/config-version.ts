/** The form of our config file that this lazuli writes. */
export const CONFIG_VERSION = 1;

/**
 * Takes the version key off a document of ours, which is of form 1 without one. Notes what is wrong with it. A later
 * form is refused whole: its keys may mean something else. The files of containerd have a key of the same name, from 1
 * to 4, and tables that ours never have.
 */
export function takeVersion(document: Record<string, unknown>, problems: string[]): void {
  const { version } = document;
  delete document.version;
  if (version === undefined || version === CONFIG_VERSION) return;
  const isContainerd = ["plugins", "grpc", "disabled_plugins"].some((key) => key in document);
  problems.push(
    isContainerd
      ? "this is a config of containerd: `lazuli config migrate --from FILE` makes ours of it"
      : `version: want ${CONFIG_VERSION}, got ${JSON.stringify(version)?.slice(0, 20)}: the file was written for another lazuli`,
  );
}
