/** What systemd says to the process that it started, and to none that this one starts (sd_notify(3), sd_listen_fds(3)). */
const serviceNames =
  /^(NOTIFY_SOCKET|LISTEN_(PID|FDS|FDNAMES)|WATCHDOG_(PID|USEC)|CREDENTIALS_DIRECTORY|FDSTORE|MAINPID)$/;

/**
 * A copy of the environment, after which the process's own has none of systemd's words: runc would give NOTIFY_SOCKET to a
 * container, and a plugin would find our credentials.
 */
export function takeServiceEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  const copy = { ...environment };
  for (const name of Object.keys(process.env)) if (serviceNames.test(name)) delete process.env[name];
  return copy;
}
