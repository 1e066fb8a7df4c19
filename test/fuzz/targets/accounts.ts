import { findUser, supplementaryGroups } from "../../../src/spec/index.js";
import { linesOf, refusing } from "../target.js";

/** The image's word of who runs in the first line, then /etc/passwd, from a line `--` on /etc/group. */
export const fuzz = refusing((bytes) => {
  const [user = "", files = ""] = linesOf(bytes, 2);
  const [passwd = "", group = ""] = files.split("\n--\n");
  findUser(user, { passwd, group });
  supplementaryGroups(user, { passwd, group });
});
