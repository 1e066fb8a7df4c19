import type { MountBinding } from "./mount-spec.js";
import { OpenFiles } from "./open-files.js";

/** How this kernel takes the layers of overlayfs. */
export interface OverlayAbilities {
  /** One by one, as `lowerdir+` (Linux 6.8): without it only mount(2) is left. */
  readonly takesLowersSingly: boolean;
  /** As open files (Linux 6.13, of all kinds 6.15). */
  readonly takesDescriptors: boolean;
}

const known = new WeakMap<MountBinding, Promise<OverlayAbilities>>();

/** Asked of the kernel once for each binding. */
export async function overlayAbilities(binding: MountBinding): Promise<OverlayAbilities> {
  let asked = known.get(binding);
  if (asked === undefined) {
    asked = ask(binding);
    known.set(binding, asked);
  }
  return await asked;
}

async function ask(binding: MountBinding): Promise<OverlayAbilities> {
  await using files = new OpenFiles();
  const takes = async (value: string | number): Promise<boolean> => {
    try {
      await binding.mounts.trySetting("overlay", "lowerdir+", value);
      return true;
    } catch {
      // Whatever is wrong shows again, with its reason, when the old way is gone.
      return false;
    }
  };
  if (!(await takes("/"))) return { takesLowersSingly: false, takesDescriptors: false };
  const root = files.keep(await binding.mounts.openPlace("/"));
  return { takesLowersSingly: true, takesDescriptors: await takes(root) };
}
