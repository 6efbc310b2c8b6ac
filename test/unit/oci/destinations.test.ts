/** Where a spec may mount: which destinations are taken, and which are refused by name. */
import { describe, expect, test } from "vitest";
import { translateSpec } from "../../../src/oci/spec/translate.ts";
import { criSpec } from "../../support/cri-spec.ts";

function translated(destination: string, more: Readonly<Record<string, unknown>> = {}) {
  const mount = { destination, type: "bind", source: "/srv/data", options: ["rbind"], ...more };
  return translateSpec({ ...criSpec(), mounts: [mount] });
}

describe("the destination of a mount", () => {
  test.each([
    ["/a/../b/./c//d/", "/b/c/d"],
    ["/../../x", "/x"],
    ["/with space\tand\nmore", "/with space\tand\nmore"],
    ["/proc/uptime", "/proc/uptime"],
    ["/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/ns_last_pid"],
    ["/process", "/process"],
  ])("%j is taken for %j", (given, destination) => {
    expect(translated(given)).toMatchObject({ create: { mounts: [{ destination }] }, warnings: [] });
  });

  test("is below the root if it is relative, which is told", () => {
    expect(translated("data/x")).toMatchObject({
      create: { mounts: [{ destination: "/data/x" }] },
      warnings: ['mounts[0].destination "data/x" is not an absolute path: it is taken for /data/x'],
    });
  });

  test.each(["", "/", "/.", "/a/.."])("%j would cover the root, and is refused", (given) => {
    expect(() => translated(given)).toThrow(/mounts\[0\]\.destination\): ".*" is the container's root/);
  });

  test.each(["/proc", "/proc/", "/proc/sys", "/x/../proc/version", "proc/self"])(
    "%j is refused: in /proc",
    (given) => {
      expect(() => translated(given)).toThrow(/is in \/proc/);
      expect(() => translated(given, { type: "tmpfs", options: [] })).toThrow(/is in \/proc/);
    },
  );

  test("may be /proc for proc itself", () => {
    expect(translated("/proc", { type: "proc", options: [] }).create.mounts).toHaveLength(1);
  });
});

test("the host's /dev at /dev is left out, and told", () => {
  for (const source of ["/dev", "/dev/"])
    expect(translated("/dev", { source })).toMatchObject({
      create: { mounts: [] },
      volumes: [],
      warnings: [expect.stringContaining("a /dev of its own")],
    });
  expect(translated("/host/dev", { source: "/dev" }).volumes).toHaveLength(1);
});

test("a tmpfs that would begin as a copy is refused", () => {
  const copyUp = { type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"] };
  expect(() => translated("/etc", copyUp)).toThrow(/mounts\[0\]\.options: tmpcopyup/);
});
