import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  buildFsSemantics,
  type CheckResult,
  compareChecks,
  parseChecks,
  writeImageFiles,
} from "../../support/fs-semantics/run.ts";

const isRoot = process.getuid?.() === 0;

/** overlayfs.rst: what it does not promise, or only with its features index, nfs_export and redirect_dir. */
const OVERLAY_DEVIATIONS = [
  "attribute/handle_can_be_had",
  "image/reader_sees_a_later_write",
  "image/directory_is_renamed",
  "image/hard_links_stay_together",
];

describe.skipIf(!isRoot)("the file-semantics program", () => {
  let base: string;
  let program: string;

  beforeAll(async () => {
    base = await mkdtemp(path.join(tmpdir(), "blazar-semantics-"));
    program = await buildFsSemantics(base);
  });
  afterAll(() => rm(base, { recursive: true }));

  function run(directory: string, image: string): CheckResult[] {
    return parseChecks(execFileSync(program, [directory, image], { encoding: "utf8" }));
  }

  test("finds everything in order on the host's own file system", async () => {
    const [work, image] = [path.join(base, "work"), path.join(base, "image")];
    for (const directory of [work, image]) mkdirSync(directory);
    await writeImageFiles(image);
    const checks = run(work, image);
    expect(checks.length).toBeGreaterThan(100);
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  });

  test("finds overlayfs's known deviations and no others", async () => {
    for (const name of ["lower/image", "upper", "scratch", "merged"])
      mkdirSync(path.join(base, name), { recursive: true });
    await writeImageFiles(path.join(base, "lower/image"));
    const layers = `lowerdir=${base}/lower,upperdir=${base}/upper,workdir=${base}/scratch`;
    const merged = path.join(base, "merged");
    execFileSync("mount", ["-t", "overlay", "overlay", "-o", `${layers},redirect_dir=off,index=off`, merged]);
    try {
      mkdirSync(path.join(merged, "work"));
      const failed = run(path.join(merged, "work"), path.join(merged, "image")).filter(({ ok }) => !ok);
      expect(failed.map(({ name }) => name).filter((name) => !OVERLAY_DEVIATIONS.includes(name))).toEqual([]);
      expect(failed.length).toBeGreaterThan(0);
    } finally {
      execFileSync("umount", [merged]);
    }
  });

  test("sees a read-only file system as the unusable place that it is", () => {
    mkdirSync(path.join(base, "readonly"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "ro", "tmpfs", path.join(base, "readonly")]);
    try {
      expect(() => run(path.join(base, "readonly"), base)).toThrow(/Read-only file system/);
    } finally {
      execFileSync("umount", [path.join(base, "readonly")]);
    }
  });

  test("can be compared between places", () => {
    const { differing, markdown } = compareChecks({
      runc: [
        { name: "a/b", ok: true },
        { name: "a/c", ok: false, why: "not so" },
        { name: "a/d", ok: true },
      ],
      blazar: [
        { name: "a/b", ok: false, why: "x | y" },
        { name: "a/c", ok: false, why: "nor here" },
        { name: "a/d", ok: true },
      ],
    });
    expect(differing).toEqual(["a/b"]);
    expect(markdown.split("\n")).toEqual([
      "| check | runc | blazar |",
      "| --- | --- | --- |",
      "| **hold** | 2 of 3 | 1 of 3 |",
      "| `a/b` | yes | no: x \\| y |",
      "| `a/c` | no: not so | no: nor here |",
      "",
    ]);
  });
});
