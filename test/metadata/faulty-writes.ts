import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { LazuliError } from "../../src/errors/index.js";
import { openMetadata, type Table } from "../../src/metadata/index.js";
import { FaultSwitch } from "../../testing/faults/index.js";

/** Writes with and without faults in one process and prints what came of it, one JSON text a line. */
const [, , directory = "", fault = "", path = ""] = process.argv;
const ROUNDS = 5;
const { EIO } = constants.errno;
const DESCRIPTORS_LEFT_MAX = 30;

const texts: Table<string> = {
  name: "texts",
  encode: (value) => value,
  decode: (value) => value as string,
};

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

async function outcome(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
    return "done";
  } catch (thrown) {
    const { code, reason } = LazuliError.from(thrown);
    return `${code} ${reason}`;
  }
}

async function writes(arm: () => void, disarm: () => void): Promise<void> {
  const metadata = await openMetadata({ directory });
  const put = (key: string) =>
    outcome(() => metadata.write((transaction) => transaction.put(texts, key, "v")));
  print(await put("first"));
  for (let round = 0; round < ROUNDS; round += 1) {
    arm();
    print(await put(`bad ${round}`));
    disarm();
    print(metadata.get(texts, "first") ?? "lost");
    print(await put(`good ${round}`));
  }
  await metadata.close();
}

/** Opens with so many descriptors left, from none to enough. */
async function opens(): Promise<void> {
  for (let left = 0; left < DESCRIPTORS_LEFT_MAX; left += 1) {
    const held: number[] = [];
    try {
      for (;;) held.push(openSync("/dev/null", "r"));
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EMFILE") throw thrown;
    }
    for (const descriptor of held.splice(0, left)) closeSync(descriptor);
    print(await outcome(async () => await (await openMetadata({ directory })).close()));
    for (const descriptor of held) closeSync(descriptor);
    print(await outcome(async () => await (await openMetadata({ directory })).close()));
  }
}

if (fault === "meta") {
  await writes(
    () => writeFileSync(path, ""),
    () => rmSync(path),
  );
} else if (fault === "open") {
  await opens();
} else {
  const faults = new FaultSwitch(path);
  await writes(
    () => faults.arm({ kinds: ["sync"], first: 1, errno: EIO }),
    () => faults.disarm(),
  );
  faults.close();
}
