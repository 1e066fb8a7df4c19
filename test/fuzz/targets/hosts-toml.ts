import { parseHostsToml } from "../../../src/registry/hosts-toml.js";
import { refusing } from "../target.js";

const place = { path: "/etc/hosts.toml", folder: "/etc", fallbackUrl: new URL("https://registry.example/") };

export const fuzz = refusing((bytes) => parseHostsToml({ text: bytes.toString("utf8"), ...place }));
