/**
 * OCI registries: hosts.toml, credentials and tokens, ranges, retries, mirrors, pushes and referrers.
 *
 *     const registry = new Registry({ hostsDirectories: ["/etc/containerd/certs.d"] });
 *     const blob = await registry.openBlob({ reference, digest, size });
 *     for await (const piece of blob.readRange({ offset: 0, length: 4096 })) use(piece);
 */
export type { BlobSource, RangeRequest } from "./blob-source.js";
export { type Clock, systemClock } from "./clock.js";
export type { Credential, CredentialProvider, CredentialQuery } from "./credential.js";
export { DockerConfigCredentials, defaultDockerConfigPaths } from "./docker-config.js";
export { distrustChannel, type RequestKind, requestChannel, retryChannel } from "./events.js";
export type { HostFigures } from "./host-states.js";
export { usualScheme } from "./hosts.js";
export { KubeletCredentials, type KubeletCredentialsOptions } from "./kubelet-credentials.js";
export type { PushBlob, PushManifest, PushOutcome, PushTarget } from "./push-target.js";
export type { ListReferrers } from "./referrers.js";
export { type FetchedManifest, type OpenBlob, Registry, type RegistryOptions } from "./registry.js";
export type { RetryPolicy } from "./retry-plan.js";
export type { RequestPriority } from "./slots.js";
