// The baseline: fuse-native (libfuse 2) serves a folder from an index in memory, as an immutable layer would be.
// Usage: node fuse-native-server.cjs FOLDER MOUNTPOINT
const Fuse = require("fuse-native");
const fs = require("node:fs");
const path = require("node:path");

const [source, target] = process.argv.slice(2);
const stats = new Map();
const children = new Map();
const pending = [""];
while (pending.length > 0) {
  const folder = pending.pop();
  const full = path.join(source, folder);
  stats.set(`/${folder}`, fs.lstatSync(full));
  const names = fs.readdirSync(full, { withFileTypes: true });
  children.set(
    `/${folder}`,
    names.map((entry) => entry.name),
  );
  for (const entry of names) {
    const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) pending.push(name);
    else stats.set(`/${name}`, fs.lstatSync(path.join(source, name)));
  }
}
const operations = {
  readdir: (name, reply) => reply(children.has(name) ? 0 : Fuse.ENOTDIR, children.get(name)),
  getattr: (name, reply) => reply(stats.has(name) ? 0 : Fuse.ENOENT, stats.get(name)),
  readlink: (name, reply) => reply(0, fs.readlinkSync(path.join(source, name))),
  open: (name, _flags, reply) =>
    fs.open(path.join(source, name), "r", (error, fd) => reply(error ? Fuse.EIO : 0, fd)),
  release: (_name, fd, reply) => fs.close(fd, () => reply(0)),
  read: (_name, fd, buffer, length, position, reply) =>
    fs.read(fd, buffer, 0, length, position, (error, got) => reply(error ? Fuse.EIO : got)),
};
const options = { force: true, kernelCache: true, attrTimeout: 3600, entryTimeout: 3600, allowOther: true };
const fuse = new Fuse(target, operations, options);
fuse.mount((error) => {
  if (error) throw error;
  process.stdout.write("ready\n");
});
process.on("SIGTERM", () => fuse.unmount(() => process.exit(0)));
