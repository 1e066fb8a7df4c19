import { invalidArgument, notFound } from "../errors/index.js";
import type { SpecUser } from "./runtime-spec.js";

/** /etc/passwd and /etc/group of a root file system; undefined where there is no such file. */
export interface Accounts {
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

interface PasswdLine {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface GroupLine {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** setuid(2) and setgid(2) take less than 2^32 - 1; runc takes up to 2^31 - 1. */
const ID_MAX = 0x7fff_ffff;
/** Lines of a file that are looked at; later ones do not count. */
const LINES_MAX = 100_000;
/** Linux: NGROUPS_MAX. */
const GROUPS_MAX = 65_536;

/**
 * The ids of `user[:group]`, each a name or a number, with the groups that the user is in. A number needs no account, and
 * has the group 0 then.
 * @throws NOT_FOUND `user-unknown`, `group-unknown`; INVALID_ARGUMENT `user-invalid`
 */
export function findUser(text: string, accounts: Accounts): SpecUser {
  const [user = "", group, ...more] = text.split(":");
  if (user === "" || group === "" || more.length > 0) {
    throw invalidArgument(`Cannot use the user ${JSON.stringify(text)}: want USER[:GROUP]`, {
      subject: text,
      reason: "user-invalid",
    });
  }
  const number = numberOf(user, "user");
  const account = accountOf(user, accounts);
  const uid = account?.uid ?? number;
  if (uid === undefined) throw unknown("user", user, "/etc/passwd");
  if (group !== undefined) return { uid, gid: findGroup(group, accounts) };
  const gid = account?.gid ?? 0;
  const name = account?.name ?? user;
  return { uid, gid, additionalGids: [...new Set([gid, ...groupsOf(name, accounts)])] };
}

/** @throws NOT_FOUND `group-unknown` */
export function findGroup(text: string, accounts: Accounts): number {
  const gid = numberOf(text, "group") ?? groupLines(accounts).find((line) => line.name === text)?.gid;
  if (gid === undefined) throw unknown("group", text, "/etc/group");
  return gid;
}

/** Groups that list a user, given by name or number, but for the one that has the user's own name: as containerd's. */
export function supplementaryGroups(user: string, accounts: Accounts): readonly number[] {
  const name = accountOf(user, accounts)?.name ?? user;
  const gids = groupLines(accounts).filter((group) => group.name !== name && group.members.includes(name));
  return [...new Set(gids.map(({ gid }) => gid))].slice(0, GROUPS_MAX);
}

/** A number is never taken for a name: the image could make any number root by it. */
function accountOf(user: string, accounts: Accounts): PasswdLine | undefined {
  const isNumber = isNumeral(user);
  return passwdLines(accounts).find(({ name, uid }) => (isNumber ? uid === Number(user) : name === user));
}

/** The groups that list this user. */
export function groupsOf(user: string, accounts: Accounts): readonly number[] {
  const gids = groupLines(accounts)
    .filter(({ members }) => members.includes(user))
    .map(({ gid }) => gid);
  return [...new Set(gids)].slice(0, GROUPS_MAX);
}

function unknown(what: "user" | "group", name: string, file: string): Error {
  return notFound(`no ${what}s found: the image's ${file} has no ${JSON.stringify(name)}`, {
    subject: name,
    reason: `${what}-unknown`,
    hint: "Give a number, or choose one that the image has",
  });
}

function isNumeral(text: string): boolean {
  return /^[+-]?[0-9]+$/.test(text);
}

/** undefined for a name. @throws INVALID_ARGUMENT `user-invalid`, `group-invalid` for numbers that are no ids */
function numberOf(text: string, what: "user" | "group"): number | undefined {
  if (!isNumeral(text)) return undefined;
  const id = Number(text);
  if (id >= 0 && id <= ID_MAX) return id;
  // containerd's words, which clients know.
  throw invalidArgument(
    `invalid USER value ${JSON.stringify(text)}: ${what === "user" ? "uid" : "gid"} out of range`,
    { subject: text, reason: `${what}-invalid`, hint: `Want an id from 0 to ${ID_MAX}` },
  );
}

function idOf(text: string): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= ID_MAX ? id : undefined;
}

function* lines(text: string | undefined): Generator<readonly string[]> {
  for (const line of (text ?? "").split("\n", LINES_MAX)) {
    const trimmed = line.trim();
    if (trimmed !== "" && !trimmed.startsWith("#")) yield trimmed.split(":");
  }
}

function passwdLines({ passwd }: Accounts): PasswdLine[] {
  return [...lines(passwd)].flatMap(([name = "", , uid = "", gid = ""]) => {
    const ids = { uid: idOf(uid), gid: idOf(gid) };
    return ids.uid === undefined || ids.gid === undefined ? [] : [{ name, uid: ids.uid, gid: ids.gid }];
  });
}

function groupLines({ group }: Accounts): GroupLine[] {
  return [...lines(group)].flatMap(([name = "", , gid = "", members = ""]) => {
    const id = idOf(gid);
    return id === undefined ? [] : [{ name, gid: id, members: members.split(",") }];
  });
}
