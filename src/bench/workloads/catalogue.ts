import type { BuiltImage, Ready, Workload } from "./workload.js";

/** What the images are made of: its packages are as good as any, and always the same. */
export const SUITE = "bookworm";

const exit: Ready = { kind: "exit" };

/** Programs as images are started for: interpreters that load libraries, a compiler, virtual machines, servers. */
export const catalogue: readonly Workload[] = [
  built({
    name: "python",
    packages: ["python3", "python3-pip", "ca-certificates"],
    files: { "/app/hello.py": 'import json, ssl, http.client\nprint("hello")\n' },
    command: ["python3", "/app/hello.py"],
    ready: exit,
  }),
  built({
    name: "node",
    packages: ["nodejs", "ca-certificates"],
    files: {
      "/app/hello.js":
        'const http = require("node:http");\nrequire("node:zlib");\nconsole.log("hello", typeof http.get);\n',
    },
    command: ["node", "/app/hello.js"],
    ready: exit,
  }),
  built({
    name: "perl",
    packages: ["perl", "libwww-perl", "libdbi-perl"],
    files: {
      "/app/hello.pl": 'use strict; use JSON::PP; use LWP::UserAgent; use Encode; print "hello\\n";\n',
    },
    command: ["perl", "/app/hello.pl"],
    ready: exit,
  }),
  built({
    name: "gcc",
    packages: ["gcc", "g++", "libc6-dev", "make"],
    files: { "/app/hello.c": '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n' },
    command: ["sh", "-c", "gcc -O1 -o /tmp/hello /app/hello.c && /tmp/hello"],
    ready: exit,
  }),
  built({
    name: "openjdk",
    packages: ["openjdk-17-jdk-headless"],
    files: {
      "/app/Hello.java":
        'public class Hello { public static void main(String[] words) { System.out.println("hello"); } }\n',
    },
    command: ["java", "/app/Hello.java"],
    ready: exit,
  }),
  built({
    name: "postgres",
    packages: ["postgresql-15"],
    user: "postgres",
    command: [
      "/usr/lib/postgresql/15/bin/postgres",
      "-D",
      "/var/lib/postgresql/15/main",
      "-c",
      "config_file=/etc/postgresql/15/main/postgresql.conf",
      "-c",
      "listen_addresses=",
      // Its own folder lies below /run, which is empty in a container.
      "-c",
      "unix_socket_directories=/tmp",
    ],
    ready: { kind: "line", text: "database system is ready to accept connections" },
  }),
  built({
    name: "redis",
    packages: ["redis-server"],
    command: ["redis-server", "--bind", "0.0.0.0", "--save", ""],
    ready: { kind: "line", text: "Ready to accept connections" },
  }),
  built({
    name: "nginx",
    packages: ["nginx-light"],
    command: ["nginx", "-g", "daemon off;"],
    ready: { kind: "port", port: 80 },
  }),
];

function built(recipe: {
  readonly name: string;
  readonly packages: readonly string[];
  readonly files?: BuiltImage["files"];
  readonly user?: string;
  readonly command: readonly string[];
  readonly ready: Ready;
}): Workload {
  const { name, packages, files = {}, user, command, ready } = recipe;
  return { name, command, ready, origin: { kind: "built", packages, files, user } };
}
