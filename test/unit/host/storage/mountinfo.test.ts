import { describe, expect, test } from "vitest";
import { mountPointsBelow, parseMountinfo } from "../../../../src/workers/mounts/mountinfo.ts";

const TEXT = [
  "22 27 0:21 / /proc rw,relatime - proc proc rw",
  "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct",
  "40 27 0:31 / /run/blazar/s rw - tmpfs tmpfs rw",
  "41 40 0:32 / /run/blazar/s/c1/rootfs ro,nosuid master:3 propagate_from:2 - overlay overlay ro,lowerdir=/a:/b",
  "42 41 0:33 / /run/blazar/s/c1/rootfs ro - tmpfs tmpfs rw",
  "43 40 0:34 / /run/blazar/s/sp\\040ace\\011tab\\134 rw - tmpfs some\\040source rw",
  "44 27 0:35 / /run/blazar/s2 rw - tmpfs tmpfs rw",
  "nonsense",
  "",
].join("\n");

describe("mountinfo", () => {
  test("is read with any number of optional fields", () => {
    const entries = parseMountinfo(TEXT);
    expect(entries).toHaveLength(7);
    expect(entries[1]).toEqual({
      mountPoint: "/sys/fs/cgroup/cpu,cpuacct",
      type: "cgroup",
      source: "cgroup",
      options: ["rw", "nosuid"],
      superOptions: ["rw", "cpu", "cpuacct"],
    });
    expect(entries[3]?.type).toBe("overlay");
    expect(entries[5]).toMatchObject({ mountPoint: "/run/blazar/s/sp ace\ttab\\", source: "some source" });
  });

  test("gives what is below a directory in an order in which it can be unmounted", () => {
    expect(mountPointsBelow(TEXT, "/run/blazar/s")).toEqual([
      "/run/blazar/s/c1/rootfs",
      "/run/blazar/s/c1/rootfs",
      "/run/blazar/s/sp ace\ttab\\",
      "/run/blazar/s",
    ]);
    expect(mountPointsBelow(TEXT, "/run/blazar/nothing")).toEqual([]);
    expect(mountPointsBelow(TEXT, "/")).toHaveLength(7);
  });
});
