import t from "tap";
import { dumpConfig, readConfig } from "../../src/daemon/index.js";
import { LazuliError } from "../../src/errors/index.js";

function problemOf(text: string): string {
  try {
    readConfig({ text });
  } catch (thrown) {
    return LazuliError.from(thrown).message;
  }
  return "no problem";
}

t.test("readConfig() reads stream processors with containerd's keys", async (t) => {
  const name = "io.containerd.ocicrypt.decoder.v1.tar.gzip";
  const text = `[stream_processors."${name}"]
accepts = ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted"]
returns = "application/vnd.oci.image.layer.v1.tar+gzip"
path = "ctd-decoder"
args = ["--decryption-keys-path", "/etc/containerd/ocicrypt/keys"]
env = ["OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf"]
`;
  const config = readConfig({ text });
  t.match(config.streamProcessors[name], {
    accepts: ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted"],
    path: "ctd-decoder",
    env: [/^OCICRYPT/],
  });
  t.same(readConfig({ text: dumpConfig(config) }), config);
  const table = (lines: string): string => `[stream_processors.a]\n${lines}\n`;
  t.match(problemOf(table('accepts = ["x"]')), /returns is missing.*path is missing/);
  t.match(problemOf(table('returns = "x"\npath = "x"')), /accepts: want one media type at least/);
  const whole = 'accepts = ["x"]\nreturns = "y"\npath = "z"';
  t.match(problemOf(table(`${whole}\nenv = ["=x"]`)), /env: want texts of the form NAME=value/);
  t.match(
    problemOf(`${table(whole)}[stream_processors.b]\n${whole}`),
    /"x" is taken by stream_processors.a already/,
  );
});

t.test("readConfig() takes places of private keys, and shows no password", async (t) => {
  t.same(readConfig({}).decryption.keys, ["/etc/containerd/ocicrypt/keys"]);
  const config = readConfig({
    text: '[decryption]\nkeys = ["/a.pem:pass=hushed", "/b.pem:file=/b", "/keys"]',
  });
  t.same(config.decryption.keys, ["/a.pem:pass=hushed", "/b.pem:file=/b", "/keys"]);
  t.match(dumpConfig(config), 'keys = [ "/a.pem:pass=…", "/b.pem:file=/b", "/keys" ]');
  t.same(readConfig({ flags: { "decryption-keys": ["/a", "/b"] } }).decryption.keys, ["/a", "/b"]);
  for (const keys of [
    '["hushed"]',
    '["a:pass=hushed"]',
    '"hushed"',
    '["/a:fd=hushed"]',
    '["provider:hushed"]',
  ]) {
    const problem = problemOf(`[decryption]\nkeys = ${keys}`);
    t.match(problem, "decryption.keys: ");
    t.notMatch(problem, "hushed");
  }
});
