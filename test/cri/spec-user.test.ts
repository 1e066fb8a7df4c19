import t from "tap";
import { SupplementalGroupsPolicy } from "../../gen/runtime/v1/api_pb.js";
import { buildContainer, buildPod, type Config, refusalOf } from "./spec-build.js";

type Security = NonNullable<NonNullable<Config["linux"]>["securityContext"]>;

async function userOf(image: string, security: Security = {}) {
  const { spec } = await buildContainer({
    image: { User: image },
    config: { linux: { securityContext: security } },
  });
  return spec.process.user;
}

const found: readonly (readonly [name: string, image: string, user: unknown])[] = [
  ["none", "", { uid: 0, gid: 0, additionalGids: [0, 10] }],
  ["a name", "app", { uid: 1000, gid: 1001, additionalGids: [10, 44, 1001] }],
  ["a number with an account", "1000", { uid: 1000, gid: 1001, additionalGids: [10, 44, 1001] }],
  ["a number without an account", "4711", { uid: 4711, gid: 0, additionalGids: [0] }],
  ["the greatest number", "2147483647", { uid: 2147483647, gid: 0, additionalGids: [0] }],
  ["leading zeros", "01000", { uid: 1000, gid: 1001, additionalGids: [10, 44, 1001] }],
  ["a number that is another account's name", "1005", { uid: 1005, gid: 0, additionalGids: [0] }],
  ["user and group by name", "app:media", { uid: 1000, gid: 44, additionalGids: [10, 44] }],
  ["user and group by number", "7:8", { uid: 7, gid: 8, additionalGids: [8] }],
];

for (const [name, image, user] of found) {
  t.test(`containerSpec() runs as the image's user when it is ${name}`, async (t) => {
    t.strictSame(await userOf(image), user);
  });
}

const refused: readonly (readonly [name: string, image: string, code: string, reason: string])[] = [
  ["one above the greatest", "2147483648", "INVALID_ARGUMENT", "user-invalid"],
  ["what wraps to root", "4294967296", "INVALID_ARGUMENT", "user-invalid"],
  ["above 64 bits", "18446744073709551616", "INVALID_ARGUMENT", "user-invalid"],
  ["negative", "-1", "INVALID_ARGUMENT", "user-invalid"],
  ["a negative group", "0:-1", "INVALID_ARGUMENT", "group-invalid"],
  ["a group that wraps to root's", "1000:4294967296", "INVALID_ARGUMENT", "group-invalid"],
  ["without a name", ":0", "INVALID_ARGUMENT", "user-invalid"],
  ["without a group behind the colon", "0:", "INVALID_ARGUMENT", "user-invalid"],
  ["of three parts", "0:0:0", "INVALID_ARGUMENT", "user-invalid"],
  ["unknown", "ghost", "NOT_FOUND", "user-unknown"],
  ["of an unknown group", "app:ghosts", "NOT_FOUND", "group-unknown"],
  ["an account with negative ids", "negative", "NOT_FOUND", "user-unknown"],
  ["a number with a space", "0 ", "NOT_FOUND", "user-unknown"],
  ["hexadecimal", "0x0", "NOT_FOUND", "user-unknown"],
  ["in full-width digits", "０", "NOT_FOUND", "user-unknown"],
  ["__proto__", "__proto__", "NOT_FOUND", "user-unknown"],
  ["a path", "../../etc", "NOT_FOUND", "user-unknown"],
  ["with a line break", "app\nroot", "NOT_FOUND", "user-unknown"],
];

for (const [name, image, code, reason] of refused) {
  t.test(`containerSpec() refuses an image's user that is ${name}`, async (t) => {
    t.match(await refusalOf(userOf(image)), { code, reason });
  });
}

t.test("containerSpec() takes the security context's user before the image's", async (t) => {
  const runAsUser = { value: 5n };
  t.strictSame(await userOf("app", { runAsUser }), { uid: 5, gid: 0, additionalGids: [0] });
  const both = await userOf("app", { runAsUser, runAsGroup: { value: 6n } });
  t.strictSame(both, { uid: 5, gid: 6, additionalGids: [6] });
  const named = await userOf("", { runAsUser, runAsUsername: "app" });
  t.strictSame(named, { uid: 1000, gid: 1001, additionalGids: [10, 44, 1001] });
});

t.test("containerSpec() refuses ids that are no ids", async (t) => {
  for (const value of [-1n, 2n ** 31n, 2n ** 32n, 2n ** 63n - 1n]) {
    t.match(
      await refusalOf(userOf("", { runAsUser: { value } })),
      { reason: "user-invalid" },
      `user ${value}`,
    );
    const runAsGroup = { runAsUser: { value: 1n }, runAsGroup: { value } };
    t.match(await refusalOf(userOf("", runAsGroup)), { reason: "group-invalid" }, `group ${value}`);
    const groups = { supplementalGroups: [value] };
    t.match(await refusalOf(userOf("", groups)), { reason: "group-invalid" }, `supplementary group ${value}`);
  }
  const alone = await refusalOf(userOf("app", { runAsGroup: { value: 7n } }));
  t.match(alone, { code: "INVALID_ARGUMENT", message: 'user group "7" is specified without user' });
});

t.test("containerSpec() adds the image's groups under Merge and not under Strict", async (t) => {
  const supplementalGroups = [99n, 44n, 99n];
  const merged = await userOf("app", { supplementalGroups });
  t.strictSame(merged.additionalGids, [10, 44, 99, 1001]);
  const strict = { supplementalGroups, supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict };
  t.strictSame((await userOf("app", strict)).additionalGids, [44, 99, 1001]);
  t.strictSame(
    (await userOf("", strict)).additionalGids,
    [44, 99],
    "root that nobody asked for adds no group",
  );
  const unknown = await refusalOf(userOf("", { supplementalGroupsPolicy: 7 as SupplementalGroupsPolicy }));
  t.match(unknown, { code: "UNIMPLEMENTED" });
});

t.test("podSpec() runs pause as the pod's user, and keeps the pod's groups", async (t) => {
  const { spec } = await buildPod({
    config: {
      linux: {
        securityContext: {
          runAsUser: { value: 5n },
          runAsGroup: { value: 6n },
          supplementalGroups: [9n, 8n],
        },
      },
    },
  });
  t.strictSame(spec.process.user, { uid: 5, gid: 6, additionalGids: [6, 8, 9] });
});
