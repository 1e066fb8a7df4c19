import {
  type LinuxContainerSecurityContext,
  type LinuxSandboxSecurityContext,
  SupplementalGroupsPolicy,
} from "../../../gen/runtime/v1/api_pb.js";
import { invalidArgument, unimplemented } from "../../errors/index.js";
import { type Accounts, findUser, type SpecUser, supplementaryGroups } from "../../spec/index.js";

/** runc takes ids up to it. */
const ID_MAX = 0x7fff_ffffn;

export interface UserRequest {
  readonly security: LinuxContainerSecurityContext | LinuxSandboxSecurityContext | undefined;
  /** USER of the image, `user[:group]`. */
  readonly imageUser: string;
  readonly accounts: Accounts;
  /** A pause process has no use for the groups of its image. */
  readonly isPod: boolean;
}

/**
 * The user of a process: by the security context, else by the image, else root. Its groups are its own, those of the
 * image's /etc/group under the policy Merge, and the pod's supplementary ones, in order.
 * @throws INVALID_ARGUMENT `user-invalid`, `group-invalid`; NOT_FOUND `user-unknown`, `group-unknown`
 */
export function processUser(request: UserRequest): SpecUser {
  const { security, imageUser, accounts } = request;
  const asked = askedUser(security);
  const text = asked === "" ? imageUser : asked;
  const user = text === "" ? { uid: 0, gid: 0 } : findUser(text, accounts);
  const policy = security?.supplementalGroupsPolicy ?? SupplementalGroupsPolicy.Merge;
  if (policy !== SupplementalGroupsPolicy.Merge && policy !== SupplementalGroupsPolicy.Strict) {
    throw unimplemented(`not implemented in this release: SupplementalGroupsPolicy=${policy as number}`, {
      reason: "groups-policy-unknown",
    });
  }
  const isMerged = policy === SupplementalGroupsPolicy.Merge && !request.isPod;
  const groups = [
    ...(isMerged || text !== "" ? [user.gid] : []),
    ...(isMerged ? supplementaryGroups(nameOf(security, imageUser), accounts) : []),
    ...(security?.supplementalGroups ?? []).map((gid) => idOf(gid, "group")),
  ];
  const additionalGids = [...new Set(groups)].sort((left, right) => left - right);
  return { uid: user.uid, gid: user.gid, ...(additionalGids.length > 0 && { additionalGids }) };
}

/** "" where the security context names none. */
function askedUser(security: UserRequest["security"]): string {
  const name = usernameOf(security);
  const user =
    name !== "" || security?.runAsUser === undefined ? name : `${idOf(security.runAsUser.value, "user")}`;
  if (security?.runAsGroup === undefined) return user;
  const group = idOf(security.runAsGroup.value, "group");
  if (user !== "") return `${user}:${group}`;
  throw invalidArgument(`user group "${group}" is specified without user`, { reason: "user-invalid" });
}

/** Whose groups count: the group that is asked for does not change it. */
function nameOf(security: UserRequest["security"], imageUser: string): string {
  const name = usernameOf(security);
  if (name !== "") return name;
  if (security?.runAsUser !== undefined) return String(security.runAsUser.value);
  return imageUser.split(":")[0] || "0";
}

function usernameOf(security: UserRequest["security"]): string {
  return security !== undefined && "runAsUsername" in security ? security.runAsUsername : "";
}

function idOf(value: bigint, what: "user" | "group"): number {
  if (value >= 0n && value <= ID_MAX) return Number(value);
  throw invalidArgument(`invalid USER value "${value}": ${what === "user" ? "uid" : "gid"} out of range`, {
    subject: String(value),
    reason: `${what}-invalid`,
    hint: `Want an id from 0 to ${ID_MAX}`,
  });
}
