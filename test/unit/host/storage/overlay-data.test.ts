import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  commonParent,
  escapeLayer,
  MOUNT_DATA_LIMIT,
  overlayData,
  splitLayers,
} from "../../../../src/workers/images/overlay-data.ts";

describe("an overlay's data", () => {
  test("lists the layers by absolute path while they fit", () => {
    expect(overlayData(["/s/2/fs", "/s/1/fs"], "c1")).toEqual({
      data: "lowerdir=/s/2/fs:/s/1/fs",
      directory: undefined,
    });
  });

  test("goes relative to the common parent when they do not", () => {
    const snapshots = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";
    const layers = Array.from({ length: 55 }, (_, index) => `${snapshots}/${index}/fs`);
    const { data, directory } = overlayData(["/run/share/c1/mask", ...layers], "c1");
    expect(directory).toBe(snapshots);
    expect(data.startsWith("lowerdir=/run/share/c1/mask:0/fs:1/fs:2/fs")).toBe(true);
    expect(data.length).toBeLessThanOrEqual(MOUNT_DATA_LIMIT);
  });

  test("is exactly as long as mount(2) takes, and not a byte longer", () => {
    const long = "x".repeat(MOUNT_DATA_LIMIT - "lowerdir=".length - ":/y".length - "/".length);
    expect(overlayData([`/${long}`, "/y"], "c1").directory).toBeUndefined();
    expect(overlayData(["/y", `/${long}x`], "c1").directory).toBe("/");
    const error = catchError(() => overlayData(["/y", `/${long}xx`], "c1"));
    expect(error).toMatchObject({ code: "MountOptionsTooLong" });
    expect(String(error)).toContain("take 4096 bytes");
    expect(String(error)).toContain("takes 4095");
  });

  test("counts bytes, not characters", () => {
    const layers = Array.from({ length: 10 }, (_, index) => `/${"é".repeat(240)}${index}`);
    expect(catchError(() => overlayData(layers, "c1"))).toMatchObject({ code: "MountOptionsTooLong" });
  });

  test("is refused beyond the kernel's number of layers", () => {
    const layers = Array.from({ length: 501 }, (_, index) => `/${index}`);
    expect(catchError(() => overlayData(layers, "c1"))).toMatchObject({ code: "InvalidRootfs" });
  });

  test("escapes so that the kernel's splitting gives the same paths back", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 8 }), (layers) => {
        expect(splitLayers(layers.map(escapeLayer).join(":"))).toEqual(layers);
      }),
    );
  });
});

describe("the common parent", () => {
  test.each([
    [["/a/b/c", "/a/b/d"], "/a/b"],
    [["/a/b", "/a/bc"], "/a"],
    [["/a/b/c/d", "/a/b"], "/a"],
    [["/a", "/b"], "/"],
    [["/a/b"], "/a"],
  ])("of %j is %s", (paths, parent) => {
    expect(commonParent(paths)).toBe(parent);
  });
});

function catchError(task: () => unknown): unknown {
  try {
    return task();
  } catch (error) {
    return error;
  }
}
