import type { Digest } from "../../src/bytes/index.js";
import { LazuliError } from "../../src/errors/index.js";
import { ingests } from "../../src/metadata/index.js";
import { type Facts, factKey, factName, reachable, valueText } from "./facts.js";
import { factsDiffer } from "./facts-differ.js";
import type { Allowed } from "./journal.js";
import { blobFault, NAMESPACES, readFacts } from "./read-facts.js";
import { openStoreParts, type StoreParts } from "./store-parts.js";
import { ingestBytes } from "./workload.js";

/** Opens what a crash has left and tells what is wrong with it, one sentence each. */
export async function checkAfterCrash(folder: string, allowed: Allowed): Promise<string[]> {
  let parts: StoreParts | undefined;
  try {
    parts = await openStoreParts({ folder });
    const before = await readFacts(parts);
    const problems = [...factsDiffer(before, allowed), ...(await wrongBlobs(parts, before))];
    problems.push(...(await wrongIngests(parts)));
    return [...problems, ...(await wrongCollection(parts))];
  } catch (thrown) {
    return [`it can't be opened or read: ${LazuliError.from(thrown).message}`];
  } finally {
    await parts?.close();
  }
}

async function wrongBlobs(parts: StoreParts, facts: Facts): Promise<string[]> {
  const problems: string[] = [];
  for (const key of facts.keys()) {
    const name = factName(key);
    if (name[0] !== "content") continue;
    const [, namespace, digest] = name;
    const fault = await blobFault(parts.content.for({ namespace }), digest as Digest).catch(
      (thrown: unknown) => LazuliError.from(thrown).message,
    );
    if (fault !== undefined) problems.push(`blob ${digest} of ${namespace}: ${fault}`);
  }
  return problems;
}

/** An upload that goes on where the crash left it must end in the right blob. */
async function wrongIngests(parts: StoreParts): Promise<string[]> {
  const problems: string[] = [];
  for (const namespace of NAMESPACES) {
    const store = parts.content.for({ namespace });
    for (const { ref } of await store.statuses([])) {
      const { bytes, digest } = ingestBytes(ref);
      try {
        const writer = await store.writer({ ref, total: bytes.length, expected: undefined });
        const labels = { "containerd.io/gc.root": "resumed" };
        await writer.write(bytes.subarray(writer.offset));
        await writer.commit({ size: bytes.length, expected: digest, labels });
      } catch (thrown) {
        const { code, message } = LazuliError.from(thrown);
        // Bytes that never reached the disk may be refused, as long as that is said.
        if (code === "ALREADY_EXISTS" || code === "FAILED_PRECONDITION") continue;
        problems.push(`ingest ${ref} of ${namespace} can't go on: ${message}`);
        continue;
      }
      const fault = await blobFault(store, digest);
      if (fault !== undefined) problems.push(`resumed blob ${digest} of ${namespace}: ${fault}`);
    }
  }
  return problems;
}

async function wrongCollection(parts: StoreParts): Promise<string[]> {
  const before = await readFacts(parts);
  const kept = reachable(before);
  await parts.collect();
  const after = await readFacts(parts);
  const problems: string[] = [];
  for (const key of kept) {
    const [was, is] = [valueText(before.get(key)), valueText(after.get(key))];
    if (was !== is) problems.push(`the collection made ${is} of ${key}, which was ${was}`);
  }
  for (const key of after.keys()) {
    if (!kept.has(key)) problems.push(`the collection left ${key}, which nothing reaches`);
  }
  // An upload that names its digest keeps the blob that it may yet take over.
  const expected = new Set(parts.metadata.values(ingests).map((row) => row.expected));
  for (const digest of await parts.storedDigests()) {
    if (expected.has(digest as Digest)) continue;
    if (!NAMESPACES.some((namespace) => after.has(factKey("content", namespace, digest)))) {
      problems.push(`the collection left the blob ${digest}, which no namespace has`);
    }
  }
  return [...problems, ...(await wrongBlobs(parts, after))];
}
