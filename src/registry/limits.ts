/** Every bound of the room, with what happens when it is reached. */

/** Requests that wait for a free place at one host; the next one is refused (RESOURCE_EXHAUSTED). */
export const WAITING_REQUESTS_MAX = 4096;

/** So many seconds' worth of requests may begin at once after a pause, where requests a second are limited. */
export const REQUEST_BURST_SECONDS = 1;

/** Hosts whose state is remembered; the one unused for longest is forgotten. */
export const HOSTS_MAX = 512;

/** TLS settings with connections of their own; the oldest are closed after their last request. */
export const AGENTS_MAX = 64;

/** Idle connections are kept this long: a lazy start reads in bursts, and a new TLS connection costs 2-3 round trips. */
export const KEEP_ALIVE_MS = 15_000;

/** Tries of one range, broken bodies that made progress included; then the last error is thrown. */
export const ATTEMPTS_PER_READ_MAX = 64;

/** An attempt that brought fewer bytes than this counts as one without progress. */
export const PROGRESS_BYTES_MIN = 4096;

/** A body that brings fewer bytes than this in three stall timeouts of waiting is given up as too slow. */
export const SLOW_BYTES_MIN = 4096;

/** The rest of an unwanted body is read away up to here to keep its connection; beyond, the connection is closed. */
export const DRAIN_BYTES_MAX = 64 * 1024;
export const DRAIN_MS = 100;

/** A server without ranges sends the whole blob: at most this much is thrown away to get to the wanted bytes. */
export const DISCARD_BYTES_MAX = 64 * 1024 * 1024;

/** Redirects of one request; the next is refused. */
export const REDIRECTS_MAX = 5;

/** A longer `Location` or token realm is refused. */
export const URL_LENGTH_MAX = 16 * 1024;

/** A longer `WWW-Authenticate` is read up to here, and so are more challenges or parameters than these. */
export const CHALLENGE_LENGTH_MAX = 16 * 1024;
export const CHALLENGES_MAX = 16;
export const CHALLENGE_PARAMETERS_MAX = 32;

/** Challenges and tokens that are remembered; the oldest are forgotten and cost a round trip. */
export const GRANTS_MAX = 1024;

/** Answer of a token server, and the token in it; longer ones are refused. */
export const TOKEN_ANSWER_BYTES_MAX = 256 * 1024;
export const TOKEN_LENGTH_MAX = 32 * 1024;

/** A token without `expires_in` lives this long (distribution's token specification), and none is trusted longer than a day. */
export const TOKEN_LIFE_SECONDS = 60;
export const TOKEN_LIFE_SECONDS_MAX = 86_400;

/** A token is renewed this long before its end, or after 90 % of a shorter life. */
export const TOKEN_SKEW_MS = 10_000;

/** Manifest and index (the OCI distribution specification asks for at least 4 MiB); larger ones are refused. */
export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;

/** Longest answer to a refused push that is read for its message; a longer one is told by its status alone. */
export const ERROR_ANSWER_BYTES_MAX = 16 * 1024;

/** Boundary, part headers and padding of a multipart answer; longer ones are refused. */
export const MULTIPART_HEADER_BYTES_MAX = 8 * 1024;

/** Configuration files (hosts.toml, config.json, certificates); larger ones are refused. */
export const CONFIG_BYTES_MAX = 1024 * 1024;

/** Certificate files read of one folder, and hosts of one hosts.toml; more are refused. */
export const CONFIG_ENTRIES_MAX = 64;

/** hosts.toml and its certificates are looked at again after this time. */
export const HOSTS_CACHE_MS = 10_000;

/** Registries whose hosts are remembered; the oldest are read again. */
export const HOSTS_CACHE_MAX = 256;
/** Registries whose certificates are parsed ahead of their first request, 25 ms each; others are parsed by it. */
export const REHEARSED_MAX = 16;

/** A credential helper or hook that takes longer is ended, and one that answers more is refused. */
export const CREDENTIAL_TIMEOUT_MS = 10_000;
export const CREDENTIAL_BYTES_MAX = 64 * 1024;

/** Answers of credential helpers are used again for this long, unless a registry refuses them. */
export const CREDENTIAL_CACHE_MS = 60_000;
export const CREDENTIAL_CACHE_MAX = 256;

/** A host that could not be reached, or that refused a blob, is asked after the others for this long. */
export const AVOID_MS = 30_000;

/** Ranges of one blob of which it is known who served them or that their bytes were wrong; the oldest are forgotten. */
export const RANGES_REMEMBERED_MAX = 256;

/** Credential providers of one kubelet config, and patterns, arguments, variables and credentials of one; more are refused. */
export const KUBELET_PROVIDERS_MAX = 64;
export const KUBELET_LIST_MAX = 1024;

/** No answer of a provider is used for longer, whatever it says. */
export const KUBELET_CACHE_MS_MAX = 24 * 3_600_000;
