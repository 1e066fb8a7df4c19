import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Certificate {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}

/** A private certificate authority. */
export interface Authority {
  /** PEM of its own certificate. */
  readonly certificate: string;
  /** Names may be host names or IP addresses; days below zero make a certificate that has expired. */
  issue(options: { names: readonly string[]; days?: number }): Promise<Certificate>;
  close(): Promise<void>;
}

const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

export async function createAuthority(): Promise<Authority> {
  const folder = await mkdtemp(join(tmpdir(), "lazuli-authority-"));
  const at = (name: string): string => join(folder, name);
  const authority = [
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.crt"),
    "-days",
    "2",
    "-subj",
    "/CN=lazuli test authority",
  ];
  await run("openssl", ["req", "-x509", ...newKey, ...authority]);
  let count = 0;
  return {
    certificate: await readFile(at("ca.crt"), "utf8"),
    issue: async ({ names, days = 1 }) => {
      count += 1;
      const base = at(`leaf-${count}`);
      const alternatives = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`));
      await writeFile(`${base}.ext`, `subjectAltName=${alternatives.join(",")}\n`);
      const subject = ["-keyout", `${base}.key`, "-out", `${base}.csr`, "-subj", "/CN=leaf"];
      await run("openssl", ["req", "-new", ...newKey, ...subject]);
      const signer = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-set_serial", String(count)];
      const output = ["-days", String(days), "-extfile", `${base}.ext`, "-out", `${base}.crt`];
      await run("openssl", ["x509", "-req", "-in", `${base}.csr`, ...signer, ...output]);
      return {
        certificate: await readFile(`${base}.crt`, "utf8"),
        key: await readFile(`${base}.key`, "utf8"),
      };
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
