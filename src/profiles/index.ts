/**
 * What starts of images are expected to read: learnt from traces, kept on the node, published beside the image, replayed
 * while its layers get ready.
 *
 *     const store = await openProfileStore({ folder: join(root, "profiles") });
 *     await new ProfileLearner({ store, files }).learn(trace);
 *     await using replayer = new ProfileReplayer({ engine, files, store, findPublished, bytesMax, timeMaxMs });
 *     replayer.image({ reference, manifest, layers });
 */
export { makeArtifact, parseArtifact } from "./artifact.js";
export type { Profile, ProfileEntry, ProfileFile, StartRead, StartReads } from "./contract.js";
export { foundChannel, learntChannel } from "./events.js";
export { type LayerPrefetch, prioritizeList, sociPrefetch } from "./export-profile.js";
export {
  type FindPublished,
  findPublished,
  type PublishedProfile,
  requirePublished,
} from "./find-published.js";
export { KnownImages } from "./known-images.js";
export { readsOf, repositoryOf } from "./learn-start.js";
export { LEARNS_WAITING_MAX, PROFILE_BYTES_MAX, PROFILES_MAX } from "./limits.js";
export { medianOf } from "./median.js";
export { coldPart, mergeStart, usedEntries } from "./merge-starts.js";
export { partsOf, ReplayPlanner } from "./plan-replay.js";
export { decodeProfile, encodeProfile, PROFILE_MEDIA_TYPE } from "./profile-document.js";
export { type LearntStart, ProfileLearner } from "./profile-learner.js";
export { ProfileReplayer, type ProfileReplayerOptions, type ReplayedImage } from "./profile-replayer.js";
export {
  type FoundProfile,
  idOf,
  type KeptProfile,
  openProfileStore,
  type ProfileQuery,
  type ProfileStore,
  profileDigest,
} from "./profile-store.js";
export { isTrusted, type ProfileTrust } from "./profile-trust.js";
export { type PublishedArtifact, publishProfile } from "./publish-profile.js";
