import { type ByteString, textOfBytes } from "../bytes/index.js";
import { invalidArgument, type LazuliError } from "../errors/index.js";
import type { FileTime, TreeNode } from "../tree/index.js";
import { NAME_LENGTH_MAX, SYMLINK_LENGTH_MAX } from "./layout.js";

const ID_MAX = 2 ** 32 - 1;
const MODE_MAX = 0o7777;
const MAJOR_MAX = 2 ** 12 - 1;
const MINOR_MAX = 2 ** 20 - 1;
const NANOSECONDS_MAX = 999_999_999;
const SECONDS_MIN = -(2n ** 63n);
const SECONDS_MAX = 2n ** 63n - 1n;
const SHOWN_LENGTH = 80;

const SLASH = 47;
const BYTE_MAX = 255;

/** A name as one of a directory on Linux. @throws INVALID_ARGUMENT `file-name-invalid` */
export function checkName(name: ByteString): void {
  const isBad =
    name.length === 0 ||
    name.length > NAME_LENGTH_MAX ||
    name === "." ||
    name === ".." ||
    !hasNameBytes(name);
  if (!isBad) return;
  throw invalidArgument(
    `Cannot store file name: 1 to ${NAME_LENGTH_MAX} bytes without "/" and zero are wanted, got ${shown(name)}`,
    { reason: "file-name-invalid", subject: shown(name) },
  );
}

function hasNameBytes(name: ByteString): boolean {
  for (let index = 0; index < name.length; index += 1) {
    const code = name.charCodeAt(index);
    if (code === 0 || code === SLASH || code > BYTE_MAX) return false;
  }
  return true;
}

/** What an inode can hold; where its content lies is checked apart. @throws INVALID_ARGUMENT `inode-invalid` */
export function checkNode(node: TreeNode, name: ByteString): void {
  if (!isInteger(node.mode, MODE_MAX)) throw invalidInode(name, `mode ${node.mode}`);
  if (!isInteger(node.uid, ID_MAX)) throw invalidInode(name, `owner ${node.uid}`);
  if (!isInteger(node.gid, ID_MAX)) throw invalidInode(name, `group ${node.gid}`);
  checkTime(node.mtime, name);
  if (node.kind === "symlink") checkTarget(node.target, name);
  if (node.kind === "character" || node.kind === "block") {
    const isDevice = isInteger(node.major, MAJOR_MAX) && isInteger(node.minor, MINOR_MAX);
    if (!isDevice) throw invalidInode(name, `device ${node.major}:${node.minor}`);
  }
}

function checkTime({ seconds, nanoseconds }: FileTime, name: ByteString): void {
  const isTime = seconds >= SECONDS_MIN && seconds <= SECONDS_MAX && isInteger(nanoseconds, NANOSECONDS_MAX);
  if (!isTime) throw invalidInode(name, `time ${seconds} s and ${nanoseconds} ns`);
}

function checkTarget(target: ByteString, name: ByteString): void {
  if (target.length === 0 || target.length > SYMLINK_LENGTH_MAX || target.includes("\0")) {
    throw invalidInode(name, `a link target of ${target.length} bytes`);
  }
}

function isInteger(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function invalidInode(name: ByteString, what: string): LazuliError {
  return invalidArgument(
    `Cannot store file ${shown(name)}: want what an inode of Linux can hold, got ${what}`,
    {
      reason: "inode-invalid",
      subject: shown(name),
    },
  );
}

/** A name for an error message. */
export function shown(name: ByteString): string {
  return JSON.stringify(textOfBytes(name.slice(0, SHOWN_LENGTH) as ByteString));
}
