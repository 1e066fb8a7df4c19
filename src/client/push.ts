import { type Platform, parseReference } from "../oci/index.js";
import { registryTarget } from "../transfer/index.js";
import type { Connection } from "./connection.js";
import { contentSource } from "./content-image.js";
import { copyImage } from "./copy-image.js";
import { findImage } from "./images.js";
import type { Target, Waiting } from "./messages.js";
import { type RegistryAccess, withRegistry } from "./pull.js";
import type { OnPullEvent } from "./pull-event.js";
import { machinePlatform } from "./read-image.js";

export interface PushOptions extends RegistryAccess, Waiting {
  /** Where to; the image's own name by default. */
  readonly to?: string | undefined;
  /** The machine's by default; an index keeps its digest, so `all` must be here for registries that check. */
  readonly platform?: Platform | "all" | undefined;
  readonly onEvent?: OnPullEvent | undefined;
}

/** Pushes an image as it is here; what a lazy pull left away is fetched on the way. @throws NOT_FOUND, UNAUTHENTICATED … */
export async function pushImage(
  connection: Connection,
  name: string,
  options: PushOptions = {},
): Promise<Target> {
  const { platform = machinePlatform(), onEvent, signal } = options;
  const image = await findImage(connection, name, { signal });
  const reference = parseReference(options.to ?? image.name).toString();
  return await withRegistry(options, async (registry) => {
    await using target = await registryTarget(registry, reference);
    return await copyImage({
      source: contentSource(connection.content, image),
      target,
      platforms: platform === "all" ? "all" : [platform],
      copiesLayers: true,
      onFound: ({ digest, size }) => onEvent?.({ kind: "found", digest, bytes: size }),
      onDone: ({ digest }) => onEvent?.({ kind: "done", digest }),
      signal,
    });
  });
}
