/** Of the commands that serve mounts. */
export const takeoverOption = {
  type: "boolean",
  meaning:
    "Ask the lazuli that runs on the same folders to end, and go on in its place: reads of running containers wait meanwhile. Under systemd, use `systemctl restart`.",
} as const;
