/** Names that become paths in the guest, and capability names. */
import { describe, expect, it } from "vitest";
import {
  checkedId,
  checkedOptionPath,
  checkedSharePath,
  checkedVolumeName,
  checkedVolumePath,
} from "../../../guest/agent/path-checks.ts";
import { capabilityMask, unknownCapabilities } from "../../../src/protocol/guest/capabilities.ts";

describe("names from the host", () => {
  it.each(["a", "0", "f".repeat(64), "pod_1-x.y"])("take %s as an id", (id) => {
    expect(checkedId(id)).toBe(id);
  });

  it.each(["", ".", "..", ".x", "-x", "a/b", "a b", "a\0", "x".repeat(129)])("refuse %j as an id", (id) => {
    expect(() => checkedId(id)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
  });

  it.each(["", "a", "a/b/c", "a..b/c"])("take %j as a path below the share", (path) => {
    expect(checkedSharePath(path)).toBe(path);
  });

  it.each(["/", "/a", "..", "a/..", "../a", "a/../b", "./a", "a/.", "a\0b"])(
    "refuse %j as a path",
    (path) => {
      expect(() => checkedSharePath(path)).toThrow(expect.objectContaining({ code: "InvalidRootfs" }));
    },
  );

  it.each(["a", "..data", "..2026_01/a:b", "a\\b/c,d"])("take %j as a path below a volume", (path) => {
    expect(checkedVolumePath(path)).toBe(path);
  });

  it.each(["", "/a", "..", "../a", "a/../b", ".", "a/.", "a//b", "a/", "a\0b"])(
    "refuse %j as a path below a volume",
    (path) => {
      expect(() => checkedVolumePath(path)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
    },
  );

  it.each(["", "..", "a/b", "V1", "x".repeat(32)])("refuse %j as a volume's name", (name) => {
    expect(() => checkedVolumeName(name)).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
  });

  it.each(["a:b", "a,b", "a\\b"])("refuse %j among overlayfs's options", (path) => {
    expect(() => checkedOptionPath(path)).toThrow(expect.objectContaining({ code: "InvalidRootfs" }));
  });
});

describe("capability names", () => {
  it("have linux/capability.h's numbers", () => {
    expect(capabilityMask(["CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"])).toBe(
      2 ** 0 + 2 ** 21 + 2 ** 40,
    );
    expect(capabilityMask([])).toBe(0);
  });

  it.each(["CHOWN", "cap_chown", "CAP_EVERYTHING", ""])("do not include %j, which adds nothing", (name) => {
    expect(capabilityMask(["CAP_KILL", name])).toBe(capabilityMask(["CAP_KILL"]));
    expect(unknownCapabilities(["CAP_KILL", name, name])).toEqual([name]);
  });
});
