import type { Step } from "./session-twins.js";

type Line = string | Step;

const steps = (lines: readonly Line[]): Step[] =>
  lines.map((line) => (typeof line === "string" ? { words: line.split(" ") } : line));

/** A command of which only the code and the errors are compared. */
const quietly = (line: string): Step => ({ words: line.split(" "), isProgress: true });
const shell = (line: string): Step => ({ words: [line], isShell: true });
const terminal = (...words: string[]): Step => ({ words, hasTerminal: true });
const words = (...all: string[]): Step => ({ words: all });

/** Until a container's task has stopped. */
const untilStopped = (id: string): Step =>
  shell(`timeout 20 bash -c 'until $ctr tasks ls | grep -q "^${id} .*STOPPED"; do sleep 0.05; done'`);

export interface Places {
  /** A registry with `odd:org` and `odd:esgz`, and where to push. */
  readonly registry: string;
  readonly pushes: string;
  readonly isNew: boolean;
}

/** Brings images in all ways that a release has. */
export function imageSteps({ registry, isNew }: Places): Step[] {
  const image = `${registry}/odd:org`;
  const local = isNew ? " --local" : "";
  return steps([
    "images ls",
    quietly(`images pull${local} --plain-http ${image}`),
    ...(isNew ? [quietly(`images pull ${registry}/odd:small-chunks`)] : []),
    `images pull${local} --plain-http ${registry}/none:1`,
    quietly(`images pull${local} --plain-http --platform linux/arm64 ${image}`),
    "images ls -q",
    `images ls name==${image}`,
    `images check name==${image}`,
    "images check -q",
    "snapshots ls",
    quietly(`content fetch --plain-http ${registry}/odd:large-chunks`),
    `content fetch --plain-http ${registry}/none:1`,
    "images ls -q",
    "content active",
    words("content", "fetch-object", "--plain-http", image),
    ...(isNew ? [`images usage ${image}`, `images inspect ${image}`] : []),
    shell(`mkdir -p {folder}/mnt && $ctr images mount ${image} {folder}/mnt && cat {folder}/mnt/data/keep`),
    shell(`(cd {folder}/mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum`),
    `images mount ${image} {folder}/mnt/none`,
    shell("$ctr images unmount {folder}/mnt; ls {folder}/mnt"),
    shell("$ctr images unmount --rm {folder}/mnt"),
    `images mount ${registry}/none:1 {folder}/mnt`,
    "snapshots ls",
    "leases ls",
  ]);
}

/** Containers that come and go, in front. */
export function runSteps({ registry }: Places): Step[] {
  const image = `${registry}/odd:org`;
  const sh = (id: string, line: string, ...options: string[]): Step =>
    words("run", "--rm", ...options, image, id, "/bin/sh", "-c", line);
  return steps([
    sh("once", "echo out; echo err >&2; exit 7"),
    sh("once", "exit 0"),
    shell(`(sleep 1; echo typed) | $ctr run --rm ${image} reads /bin/sh -c "cat; echo end"`),
    sh("killed", "kill -9 $$"),
    sh("large", "head -c 3000000 /data/large | sha256sum; cat /data/large | wc -c"),
    sh("bytes", "cat /bin/busybox"),
    sh("env", "echo $A; pwd; id -u; cat /proc/self/status | grep Cap", "--env", "A=b", "--cwd", "/data"),
    sh("user", "id", "--user", "1000:1001"),
    sh("name", "cat /proc/sys/kernel/hostname", "--hostname", "somewhere"),
    sh("fs", "echo x > /new", "--read-only"),
    shell("mkdir {folder}/shared && touch {folder}/shared/file"),
    sh("mount", "ls /host", "--mount", "type=bind,src={folder}/shared,dst=/host,options=rbind:ro"),
    sh("limit", "cat /proc/self/cgroup | grep -c memory", "--memory-limit", "33554432"),
    sh("logged", "echo to a file", "--log-uri", "file://{folder}/log.txt"),
    shell("cat {folder}/log.txt"),
    sh("nothing", "echo to nobody", "--null-io"),
    terminal(
      "run",
      "--rm",
      "-t",
      image,
      "terminal",
      "/bin/sh",
      "-c",
      "test -t 0 && echo a terminal; sleep 0.5; exit 3",
    ),
    words("run", "--rm", image, "absent", "/bin/none"),
    words("run", "--rm", `${registry}/none:1`, "absent", "/bin/true"),
    words("run", "--rm", "--runtime", "io.none.v1", image, "odd", "/bin/true"),
    words("run", "--rm", "--runtime", "/none/shim", image, "odd", "/bin/true"),
    words("run", "--rm", "--runc-binary", "/none/runc", image, "odd", "/bin/true"),
    words("run", "--rm", "--runc-binary", "crun", image, "crun", "/bin/sh", "-c", "echo crun; exit 5"),
    words("run", "--rm", "--snapshotter", "none", image, "odd", "/bin/true"),
    words("run", "--rm", "--snapshotter", "native", image, "native", "/bin/sh", "-c", "cat /data/keep"),
    words("run", image, "stays", "/bin/sh", "-c", "exit 2"),
    "tasks ls",
    "containers ls",
    words("run", image, "stays", "/bin/true"),
    words("containers", "rm", "stays"),
    "containers ls -q",
    "snapshots ls",
    shell("ls {folder}/state/io.containerd.runtime.v2.task/*"),
    // Its snapshot stays until a collection.
    words("run", "--rm", image, "bad..name", "/bin/true"),
  ]);
}

/** Tasks in the background. */
export function taskSteps({ registry }: Places): Step[] {
  const image = `${registry}/odd:org`;
  const detached = (id: string, line: string): Step => words("run", "-d", image, id, "/bin/sh", "-c", line);
  return steps([
    detached("long", "trap 'exit 6' TERM; while :; do sleep 0.05; done"),
    "tasks ls",
    "tasks ls -q",
    shell("$ctr tasks ps long | head -n 2"),
    "tasks ps none",
    shell("$ctr tasks metrics long | cut -d ' ' -f 1 | sort"),
    quietly("tasks metrics --format json long"),
    "tasks metrics none",
    words("tasks", "exec", "--exec-id", "e1", "long", "/bin/sh", "-c", "echo out; echo err >&2; exit 4"),
    shell("(sleep 1; echo typed) | $ctr tasks exec --exec-id e1 long /bin/cat"),
    words(
      "tasks",
      "exec",
      "--exec-id",
      "e2",
      "--cwd",
      "/data",
      "--user",
      "1000",
      "long",
      "/bin/sh",
      "-c",
      "pwd; id -u",
    ),
    words("tasks", "exec", "--exec-id", "e3", "long", "/bin/none"),
    words("tasks", "exec", "--exec-id", "e3", "none", "/bin/true"),
    words("tasks", "exec", "--exec-id", "bad..name", "long", "/bin/true"),
    words("tasks", "exec", "-d", "--exec-id", "e4", "long", "/bin/sleep", "1000"),
    words("tasks", "exec", "--exec-id", "e4", "long", "/bin/true"),
    shell("$ctr tasks ps long | grep -c ProcessDetails || $ctr tasks ps long | wc -l"),
    words("tasks", "kill", "--exec-id", "e4", "-s", "SIGKILL", "long"),
    words("tasks", "kill", "--exec-id", "none", "long"),
    shell("until ! $ctr tasks kill --exec-id e4 -s 0 long 2>/dev/null; do sleep 0.05; done"),
    words("tasks", "rm", "--exec-id", "e4", "long"),
    words("tasks", "rm", "--exec-id", "e4", "long"),
    terminal(
      "tasks",
      "exec",
      "-t",
      "--exec-id",
      "e5",
      "long",
      "/bin/sh",
      "-c",
      "test -t 1 && echo a terminal; sleep 0.5; exit 9",
    ),
    "tasks pause long",
    "tasks ls",
    "tasks pause long",
    words("tasks", "exec", "--exec-id", "e6", "long", "/bin/true"),
    "tasks resume long",
    "tasks resume long",
    "tasks ls",
    "tasks pause none",
    "tasks resume none",
    "tasks start long",
    "tasks start none",
    "tasks rm long",
    "containers rm long",
    quietly("tasks checkpoint none"),
    "tasks kill -s SIGODD long",
    "tasks kill none",
    "tasks kill long",
    untilStopped("long"),
    "tasks ls",
    "tasks kill long",
    "tasks ps long",
    shell("$ctr tasks metrics long >/dev/null"),
    words("tasks", "exec", "--exec-id", "e7", "long", "/bin/true"),
    "tasks rm long",
    "tasks rm long",
    "containers info long --spec",
    "containers rm long",
    detached("all", "sleep 1000 & sleep 1000 & wait"),
    "tasks kill -a -s SIGKILL all",
    untilStopped("all"),
    "tasks rm all",
    "containers rm all",
    detached("forced", "sleep 1000"),
    "tasks rm -f forced",
    "containers rm forced",
    words("containers", "create", image, "made", "/bin/cat", "/data/keep"),
    "containers ls",
    "tasks ls",
    words("tasks", "start", "made"),
    "tasks rm made",
    "containers rm made",
    // What it says waits in a FIFO for the one who attaches.
    { ...detached("held", "while :; do echo tick; sleep 0.1; done"), isProgress: true },
    shell("timeout -s KILL 2 $ctr tasks attach held | head -n 2"),
    "tasks attach none",
    "tasks kill -s SIGKILL held",
    untilStopped("held"),
    "tasks rm held",
    "containers rm held",
  ]);
}

/** What a container changed becomes an image; images leave and come back. */
export function commitSteps({ registry, pushes, isNew }: Places): Step[] {
  const image = `${registry}/odd:org`;
  const target = `${pushes}/{side}/copy:1`;
  const local = isNew ? " --local" : "";
  return steps([
    words("run", image, "changed", "/bin/sh", "-c", "echo new > /data/new; rm /data/keep; mkdir /made"),
    "snapshots usage changed",
    shell("$ctr snapshots diff changed | gzip -dc | tar -t | sort"),
    // Asked for by name: how many others a collection has left by then is chance.
    shell("$ctr snapshots diff --keep changed | sha256sum | cut -c -64 > {folder}/kept"),
    shell("$ctr content ls -q | grep -c -f {folder}/kept"),
    "snapshots diff none",
    "snapshots info changed",
    shell(
      "$ctr snapshots mounts /mnt changed | sed -E 's#[0-9]+/(fs|work)#N/\\1#g; s#/[^ :=,]*/snapshots#SNAPSHOTS#g'",
    ),
    "tasks rm changed",
    "containers rm changed",
    `images tag ${image} ${target}`,
    quietly(`images push${local} --plain-http ${target}`),
    quietly(`images push${local} --plain-http ${target}`),
    `images push${local} --plain-http ${pushes}/none:1`,
    shell(
      `$ctr images push${local} --plain-http 127.0.0.1:1/refused:1 ${image} 2>&1 >/dev/null | sed 's/sha256:[0-9a-f]*/DIGEST/'`,
    ),
    ...(isNew ? [quietly(`images push ${pushes}/{side}/other:1 ${image}`)] : []),
    words("images", "export", "{folder}/image.tar", image),
    shell("tar -tf {folder}/image.tar | sort"),
    shell("sha256sum < {folder}/image.tar"),
    ...(isNew ? [words("images", "export", "--local", "{folder}/image2.tar", image)] : []),
    `images rm --sync ${target}`,
    `images rm --sync ${image}`,
    quietly(`images import${local} {folder}/image.tar`),
    "images ls -q",
    words("run", "--rm", image, "again", "/bin/sh", "-c", "cat /data/keep"),
    `images rm --sync ${image}`,
    words("run", "--rm", image, "again", "/bin/true"),
    quietly(`images pull${local} --plain-http ${registry}/odd:org`),
    words("run", "--rm", image, "again", "/bin/sh", "-c", "cat /data/keep"),
    `images convert --oci ${image} converted:1`,
    "images ls -q",
    "images rm converted:1",
  ]);
}

/** The rest of what `ctr` asks a daemon. */
export function otherSteps({ registry, isNew }: Places): Step[] {
  const image = `${registry}/odd:org`;
  return steps([
    "leases create --id held a=b",
    "leases ls",
    "leases rm held",
    words("containers", "create", "--label", "a=b", image, "labelled", "/bin/true"),
    "containers ls labels.a==b",
    "containers label labelled c=d",
    words("containers", "checkpoint", "labelled", "checkpoint:1"),
    "containers rm labelled",
    "namespaces ls -q",
    words("plugins", "ls", "type==io.containerd.service.v1"),
    shell(
      "$ctr plugins ls | awk '$NF == \"ok\" { print $1, $2 }' | grep -E 'grpc.v1|content|snapshotter.v1 (overlayfs|native)|differ|event|gc|lease|metadata' | sort -u",
    ),
    shell("$ctr version | grep -c Server"),
    ...(isNew
      ? [
          "deprecations list",
          shell("$ctr info | grep -c uuid"),
          "sandboxes ls",
          shell(`echo '{"ociVersion":"1.0.2","root":{"path":"rootfs"}}' > {folder}/pod.json`),
          "sandboxes run --runtime io.containerd.runc.v2 {folder}/pod.json pod",
          "sandboxes ls",
          "sandboxes rm -f pod",
          "sandboxes rm none",
          shell("$ctr plugins inspect-runtime | grep -c runc"),
        ]
      : []),
    "tasks ls",
    "containers ls",
    "content active",
    "leases ls",
    shell(
      "ls {folder}/state/io.containerd.runtime.v2.task/{side}* {folder}/root/io.containerd.runtime.v2.task/{side}*",
    ),
  ]);
}
