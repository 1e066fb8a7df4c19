/**
 * A registry in this process that misbehaves on script.
 *
 *     const server = await startRegistry({ auth: { kind: "basic", username: "u", password: "p" } });
 *     const digest = server.addBlob(bytes);
 *     server.script({ path: /blobs/, times: 1, act: { cutAfter: 100 } });
 */
export { type Authority, type Certificate, createAuthority } from "./authority.js";
export type { Behaviour, Rule } from "./behaviour.js";
export type { RequestRecord, ServerName } from "./request-record.js";
export { type RegistryServer, type RegistryServerOptions, startRegistry } from "./start-registry.js";
export type { AuthOptions } from "./token-server.js";
