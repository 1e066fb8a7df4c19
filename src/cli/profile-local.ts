import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestFileName } from "../bytes/index.js";
import { failedPrecondition } from "../errors/index.js";
import { FileMaps } from "../layer/index.js";
import {
  coldPart,
  decodeProfile,
  encodeProfile,
  idOf,
  type KeptProfile,
  medianOf,
  mergeStart,
  type Profile,
  prioritizeList,
  profileDigest,
  readsOf,
  repositoryOf,
  sociPrefetch,
  usedEntries,
} from "../profiles/index.js";
import { decodeTrace, readTraceFile, type StartTrace, traceIds } from "../traces/index.js";
import type { CommandInput, CommandResult } from "./command.js";
import { usageError } from "./image-options.js";
import { profilePlaces, profilesNamed } from "./profile-places.js";
import { signalled } from "./signalled.js";
import { humanBytes, table } from "./table.js";

/** Entries that `show` prints for people; `--json` has all. */
const SHOWN_MAX = 40;

export async function listProfiles(input: CommandInput, [image]: readonly string[]): Promise<CommandResult> {
  const { store } = await profilePlaces(input);
  const kept = image === undefined ? await store.list() : await profilesNamed(store, image);
  const facts = kept.map(factsOf);
  const rows = facts.map(({ id, repository, manifest, command, starts, files, bytes, usedAt }) => [
    id,
    repository,
    (manifest ?? "").slice(7, 19),
    String(starts),
    String(files),
    humanBytes(bytes),
    usedAt.slice(0, 16).replace("T", " "),
    (command ?? []).join(" ").slice(0, 60),
  ]);
  const head = ["ID", "REPOSITORY", "MANIFEST", "STARTS", "FILES", "BYTES", "USED", "COMMAND"];
  return { data: facts, text: table(head, rows) };
}

export async function showProfile(input: CommandInput, [word]: readonly string[]): Promise<CommandResult> {
  const { store } = await profilePlaces(input);
  const [kept] = await profilesNamed(store, word!);
  const { profile } = kept!;
  const used = new Set(usedEntries(profile));
  const entries = profile.entries.map((entry) => {
    const { path, size, layer } = profile.files[entry.file]!;
    const { offset, length, starts, timesMs } = entry;
    const at = medianOf(timesMs);
    return { path, size, layer, offset, length, starts, atMs: at, isReplayed: used.has(entry) };
  });
  const rows = entries
    .slice(0, SHOWN_MAX)
    .map(({ path, offset, length, starts, atMs, isReplayed }) => [
      `${atMs} ms`,
      humanBytes(length),
      humanBytes(offset),
      `${starts}/${profile.starts}`,
      isReplayed ? "yes" : "no",
      path,
    ]);
  const more = entries.length - rows.length;
  const facts = factsOf(kept!);
  const text = [
    `${facts.repository || "an unknown repository"} ${facts.manifest ?? ""}: ${facts.files} files, ${humanBytes(facts.bytes)}, of ${facts.starts} starts\n\n`,
    table(["FIRST", "BYTES", "FROM", "STARTS", "REPLAYED", "FILE"], rows),
    more > 0 ? `and ${more} more; --json has all\n` : "",
  ].join("");
  return { data: { ...facts, layers: profile.layers, entries }, text };
}

function factsOf({ id, profile, sizeBytes, usedAtMs }: KeptProfile) {
  const used = usedEntries(profile);
  return {
    id,
    digest: profileDigest(profile),
    repository: profile.repository,
    manifest: profile.manifest,
    command: profile.command,
    starts: profile.starts,
    files: new Set(used.map(({ file }) => file)).size,
    entries: profile.entries.length,
    bytes: used.reduce((sum, { length }) => sum + length, 0),
    documentBytes: sizeBytes,
    usedAt: new Date(usedAtMs).toISOString(),
  };
}

export async function learnProfiles(input: CommandInput, [image]: readonly string[]): Promise<CommandResult> {
  const { store, root, traces } = await profilePlaces(input);
  await using files = new FileMaps({ root });
  using stop = signalled();
  const { signal } = stop;
  const repository = repositoryOf(image!);
  const learnt = new Map<string, Profile>();
  let passed = 0;
  for await (const trace of tracesOf(input, traces)) {
    if (repositoryOf(trace.reference) !== repository) continue;
    const start = await readsOf(trace, { files, signal });
    const before = learnt.get(idOf(start));
    const cold = coldPart(before, start);
    if (cold.reads.length > 0) learnt.set(idOf(start), mergeStart(before, cold));
    else passed += 1;
  }
  if (learnt.size === 0) {
    throw failedPrecondition(`Cannot learn from starts of ${image}: no trace tells of its files`, {
      subject: image!,
      reason: "trace-missing",
      hint: "`lazuli trace ls` lists the starts that are known; its layers have to be on this node, too",
    });
  }
  const found: { id: string; starts: number; entries: number }[] = [];
  for (const profile of learnt.values()) {
    found.push({ id: await store.save(profile), starts: profile.starts, entries: profile.entries.length });
  }
  const lines = found.map(({ id, starts, entries }) => `${id}: ${entries} entries of ${starts} starts\n`);
  const warm = passed === 0 ? "" : `${passed} warm starts told nothing\n`;
  return { data: { profiles: found, warmStarts: passed }, text: `${lines.join("")}${warm}` };
}

async function* tracesOf(input: CommandInput, folder: string): AsyncGenerator<StartTrace> {
  const file = input.options.trace?.at(-1);
  if (file !== undefined) {
    yield decodeTrace(await readFile(file));
    return;
  }
  for (const id of await traceIds(folder)) yield await readTraceFile(folder, id);
}

export async function exportProfile(input: CommandInput, [word]: readonly string[]): Promise<CommandResult> {
  const { store, root } = await profilePlaces(input);
  const [kept] = await profilesNamed(store, word!);
  const { profile } = kept!;
  const as = input.options.as?.at(-1) ?? "json";
  const output = input.options.output?.at(-1);
  if (as === "json")
    return await written(`${encodeProfile(profile)}\n`, output, JSON.parse(String(encodeProfile(profile))));
  if (as === "prioritize") {
    const list = prioritizeList(profile);
    return await written(list, output, { paths: list.split("\n").slice(0, -1) });
  }
  if (as !== "soci-prefetch") throw usageError(`want --as json, prioritize or soci-prefetch, got ${as}`);
  await using files = new FileMaps({ root });
  using stop = signalled();
  const artifacts = await sociPrefetch(profile, { files, signal: stop.signal });
  const data = artifacts.map(({ layer, spans, bytes }) => {
    return { layer, spans, artifact: JSON.parse(bytes.toString()) as unknown };
  });
  if (output === undefined) {
    const lines = artifacts.map(({ layer, bytes }) => `${layer} ${bytes}\n`);
    return { data, text: lines.join("") };
  }
  await mkdir(output, { recursive: true });
  for (const { layer, bytes } of artifacts)
    await writeFile(join(output, `${digestFileName(layer)}.json`), bytes);
  return { data, text: `${artifacts.length} layers: ${output}\n` };
}

async function written(text: string, output: string | undefined, data: unknown): Promise<CommandResult> {
  if (output === undefined) return { data, text };
  await writeFile(output, text);
  return { data: { output }, text: `${output}\n` };
}

export async function importProfile(input: CommandInput, [path]: readonly string[]): Promise<CommandResult> {
  const { store } = await profilePlaces(input);
  const profile = decodeProfile(await readFile(path!));
  const id = await store.save(profile);
  return { data: { id, digest: profileDigest(profile) }, text: `${id}\n` };
}

export async function removeProfiles(input: CommandInput, words: readonly string[]): Promise<CommandResult> {
  const { store } = await profilePlaces(input);
  const ids = new Set<string>();
  for (const word of words) for (const { id } of await profilesNamed(store, word)) ids.add(id);
  for (const id of ids) await store.remove(id);
  return { data: { removed: [...ids] }, text: [...ids].map((id) => `${id}\n`).join("") };
}
