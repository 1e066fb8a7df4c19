import { execFileSync } from "node:child_process";
import t from "tap";
import { listFolder, listTree } from "./listing.js";
import { blockSizes, mountImage } from "./mounted-image.js";
import { randomTree } from "./trees.js";

const COUNT = 600;

for (const blockSize of blockSizes) {
  t.test(`writeErofs() shows each random tree as it is, with blocks of ${blockSize}`, async (t) => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const { root, data } = randomTree(seed * 1000 + blockSize, { count: COUNT, blockSize });
      await using mounted = await mountImage({ root, blockSize, data });
      const [seen, wanted] = [listFolder(mounted.path), listTree(root, data)];
      t.ok(wanted.size > COUNT / 2, `seed ${seed} gives a tree`);
      t.equal(seen.size, wanted.size, `seed ${seed}: as many names`);
      for (const [path, line] of wanted) if (seen.get(path) !== line) t.equal(seen.get(path), line, path);
      // fsck.erofs knows no blocks smaller than a page.
      if (blockSize === 4096) execFileSync("fsck.erofs", [`--device=${mounted.dataPath}`, mounted.imagePath]);
    }
  });
}
