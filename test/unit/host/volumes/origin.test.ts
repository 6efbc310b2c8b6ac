/** What a bind of a part of a volume is a part of, by the text of mountinfo. */
import { expect, test } from "vitest";
import { originOf } from "../../../../src/workers/mount-origin.ts";

const POD = "/var/lib/kubelet/pods/8a";
const PART = `${POD}/volume-subpaths/cache/main/0`;
const line = (device: string, root: string, point: string) => `1 1 ${device} ${root} ${point} rw - t s rw`;
const ROOT = line("8:1", "/", "/");

test("a part of a tmpfs is a path below its mount", () => {
  const cache = `${POD}/volumes/kubernetes.io~empty-dir/cache`;
  const text = [ROOT, line("0:50", "/", cache), line("0:50", "/a/b", PART)].join("\n");
  expect(originOf(PART, text)).toEqual({ path: `${cache}/a/b`, mountPoint: cache });
});

test("a part of a directory on a disk is its path on the host", () => {
  const config = `${POD}/volumes/kubernetes.io~configmap/c/..2026/key`;
  expect(originOf(PART, [ROOT, line("8:1", config, PART)].join("\n"))).toMatchObject({ path: config });
});

test("a part of a directory on a disk of its own is its path on the host, too", () => {
  const text = [ROOT, line("8:2", "/", "/var/lib"), line("8:2", "/kubelet/pods/8a/x", PART)].join("\n");
  expect(originOf(PART, text)).toEqual({ path: "/var/lib/kubelet/pods/8a/x", mountPoint: "/var/lib" });
});

test("the whole of a bind of a bind is the nearest, and names may have spaces", () => {
  const text = [ROOT, line("8:1", "/srv", "/a"), line("8:1", "/srv/my\\040data/x", PART)].join("\n");
  expect(originOf(PART, text)).toEqual({ path: "/a/my data/x", mountPoint: "/a" });
});

test("what is not mounted is a part of nothing", () => {
  expect(originOf(PART, ROOT)).toBeUndefined();
});
