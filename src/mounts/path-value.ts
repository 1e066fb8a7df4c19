import type { MountBinding } from "./mount-spec.js";
import type { OpenFiles } from "./open-files.js";

/** fsconfig(2) takes no longer text. */
const VALUE_BYTES_MAX = 255;

/** A path as a value that fsconfig(2) takes, however long it is. `files` keeps what is opened for it. */
export async function pathValue(
  binding: MountBinding,
  options: { readonly path: string; readonly takesDescriptors: boolean; readonly files: OpenFiles },
): Promise<string | number> {
  const { path, takesDescriptors, files } = options;
  if (Buffer.byteLength(path) <= VALUE_BYTES_MAX) return path;
  const fd = files.keep(await binding.mounts.openPlace(path));
  // With a descriptor the kernel's table of mounts shows the path, with the link it shows the link.
  return takesDescriptors ? fd : `/proc/self/fd/${fd}`;
}
