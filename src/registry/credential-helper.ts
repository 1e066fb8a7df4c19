import { failedPrecondition } from "../errors/index.js";
import type { Credential } from "./credential.js";
import { cleanEnvironment, programFailed, runCredentialProgram } from "./credential-program.js";

/** The helper's own word for "no credentials here" (docker-credential-helpers protocol). */
const NOT_FOUND_TEXT = "credentials not found in native keychain";

/** The user name that marks a secret as an identity token. */
const TOKEN_USERNAME = "<token>";

/** Helpers of clouds and password stores read these of their user's environment. */
const helperNames =
  /^(AWS_|GOOGLE_|CLOUDSDK_|AZURE_|GNUPGHOME$|PASSWORD_STORE_|DBUS_SESSION_BUS_ADDRESS$|DISPLAY$)/;

/**
 * Runs `docker-credential-<helper> get`, which reads the server's name from stdin and answers JSON. Undefined when the
 * helper knows none. Nothing of what it prints gets into an error. @throws FAILED_PRECONDITION, UNAVAILABLE
 */
export async function askCredentialHelper(options: {
  helper: string;
  server: string;
  signal?: AbortSignal | undefined;
}): Promise<Credential | undefined> {
  const { helper, server, signal } = options;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(helper)) {
    throw failedPrecondition("Cannot run the credential helper: want a plain name, got something else", {
      reason: "credential-helper-invalid",
    });
  }
  const program = `docker-credential-${helper}`;
  const hint = `Run "${program} list" as the daemon's user`;
  const { code, output } = await runCredentialProgram({
    program,
    args: ["get"],
    input: `${server}\n`,
    environment: helperEnvironment(),
    hint,
    signal,
  });
  const failed = (actual: string) => programFailed({ program, hint }, actual);
  if (code !== 0) {
    if (output.includes(NOT_FOUND_TEXT)) return undefined;
    throw failed(`exit code ${code}`);
  }
  let answer: unknown;
  try {
    answer = JSON.parse(output);
  } catch {
    // The parser's message quotes its input, which is a secret.
    throw failed("an answer that is not JSON");
  }
  const { Username: username, Secret: secret } = (answer ?? {}) as Record<string, unknown>;
  if (typeof username !== "string" || typeof secret !== "string") {
    throw failed("an answer without Username and Secret");
  }
  if (secret === "") return undefined;
  if (username === TOKEN_USERNAME) return { kind: "identity-token", identityToken: secret };
  return { kind: "password", username, password: secret };
}

function helperEnvironment(): Record<string, string> {
  const environment = cleanEnvironment();
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && helperNames.test(name)) environment[name] = value;
  }
  return environment;
}
