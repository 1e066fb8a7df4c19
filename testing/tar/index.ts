/** What tests of archives share: hand-made headers, and a containerd that unpacks them. */
export { startUnpacker, type TarFile, type Unpacked, type Unpacker } from "./containerd-unpack.js";
export {
  base256,
  paxRecord,
  type RawEntry,
  type RawNumber,
  rawEntries,
  rawHeader,
  rawTar,
} from "./raw-tar.js";
