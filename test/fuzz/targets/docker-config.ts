import { parseDockerConfig } from "../../../src/registry/docker-config.js";
import { refusing } from "../target.js";

export const fuzz = refusing((bytes) => parseDockerConfig(bytes.toString("utf8"), "config.json"));
