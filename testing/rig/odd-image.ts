import { createCipheriv, createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { command } from "./command.js";
import { writeOciArchive } from "./oci-archive.js";

export const oddImageName = "lazuli.test/odd:latest";

const layerScripts = [
  String.raw`
    mkdir -p bin etc data opaque/sub replaced hard perms tmp many dev proc sys root
    cp /bin/busybox bin/busybox
    for name in sh ls cat find sha256sum stat true sleep id wc md5sum; do ln -s busybox bin/$name; done
    echo 'root:x:0:0:root:/root:/bin/sh' > etc/passwd
    echo keep > data/keep; echo gone > data/gone; mkdir data/gone-dir; echo x > data/gone-dir/x
    echo a > opaque/a; echo b > opaque/b; echo x > opaque/sub/x
    echo x > replaced/x
    echo one > hard/one; ln hard/one hard/two; ln hard/one hard/three
    cp bin/busybox perms/setuid; chmod 4755 perms/setuid; cp etc/passwd perms/setgid; chmod 2750 perms/setgid
    echo owned > perms/owned; chown 1000:1001 perms/owned; chmod 0400 perms/owned
    chmod 1777 tmp; mkdir -m 0711 perms/dir
    cp /bin/true perms/capable; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 perms/capable
    setfattr -n user.note -v "value of a note" data/keep; setfattr -n user.empty data/keep
    setfattr -n user.dir -v d perms
    mkfifo perms/fifo; mknod perms/null c 1 3; mknod perms/disk b 8 17
    ln -s /etc/passwd perms/absolute; ln -s ../nowhere perms/dangling
    : > data/empty
    head -c 9500000 /dev/zero | openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv 00 > data/large
    head -c 4194304 data/large > data/exact
    printf 'x' > data/one-byte
    for i in $(seq 300); do echo "file $i" > many/f$i; done
    touch -d '1969-12-31 00:00:00 UTC' data/before-1970
    touch "data/$(printf 'n%.0s' $(seq 255))" "data/with space" "data/ünï" "data/back\\slash"
  `,
  `
    mkdir -p data opaque hard etc
    : > data/.wh.gone; : > data/.wh.gone-dir
    : > opaque/.wh..wh..opq; echo c > opaque/c
    echo 'now a file' > replaced
    : > hard/.wh.three; echo four > hard/four; ln hard/four hard/five
    echo 'nobody:x:65534:65534:nobody:/:/bin/false' > etc/extra
    chmod 0700 data
  `,
  `
    mkdir -p data/gone-dir opaque/sub
    echo back > data/gone-dir/back; echo y > opaque/sub/y
    echo last > last
  `,
];

/** An OCI archive of a small image with everything that a layer can hold, in three layers over busybox. */
export async function oddImageArchive(options: { folder: string }): Promise<string> {
  const work = join(options.folder, "odd.work");
  const archive = join(options.folder, "odd.oci.tar");
  await rm(work, { recursive: true, force: true });
  const layers: string[] = [];
  for (const [index, script] of layerScripts.entries()) {
    const tree = join(work, `layer${index}`);
    await mkdir(tree, { recursive: true });
    await command("bash", ["-euc", script], { cwd: tree });
    // A TOC has whole seconds, rounded to the nearest one, where the tar beside it has nanoseconds.
    await command("find", [
      tree,
      "-newermt",
      "1970-01-02",
      "-exec",
      "touch",
      "-h",
      "-d",
      "@1700000000",
      "{}",
      "+",
    ]);
    const tar = `${tree}.tar`;
    await command("tar", [
      "--numeric-owner",
      "--sort=name",
      "--xattrs",
      "--xattrs-include=*",
      "-C",
      tree,
      "-cf",
      tar,
      ".",
    ]);
    layers.push(tar);
  }
  await writeOciArchive({
    layers,
    config: { Cmd: ["/bin/sh", "-c", "echo hello"], Env: ["PATH=/bin"], WorkingDir: "/" },
    name: oddImageName,
    archive,
  });
  await rm(work, { recursive: true });
  return archive;
}

/** sha256 of its large files, made anew from the key that made them. */
export function oddImageDigests(): { readonly large: string; readonly exact: string } {
  const cipher = createCipheriv(
    "aes-128-ctr",
    Buffer.from("00112233445566778899aabbccddeeff", "hex"),
    Buffer.alloc(16),
  );
  const large = cipher.update(Buffer.alloc(9_500_000));
  const hexOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
  return { large: hexOf(large), exact: hexOf(large.subarray(0, 4_194_304)) };
}
