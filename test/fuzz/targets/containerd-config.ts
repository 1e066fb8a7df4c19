import { parse, TomlError } from "smol-toml";
import { migrateConfig } from "../../../src/settings/index.js";
import { refusing } from "../target.js";

/** What another program's config says, in the latest form. */
export const fuzz = refusing((bytes) => {
  try {
    migrateConfig({ document: parse(bytes.toString("utf8")) });
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
  }
});
