/** What of the host a jail may change: mount_setattr(2) of what is bound into it. */
import { beforeEach, expect, test, vi } from "vitest";

const CONSTANTS = vi.hoisted(() => ({
  ...{
    S_IFMT: 0o170000,
    S_IFDIR: 0o040000,
    S_IFLNK: 0o120000,
    S_IFCHR: 0o020000,
    AT_FDCWD: -100,
    AT_RECURSIVE: 0x8000,
  },
  ...{
    MOUNT_ATTR_RDONLY: 1,
    MOUNT_ATTR_NOSUID: 2,
    MOUNT_ATTR_NODEV: 4,
    MS_BIND: 4096,
    MS_REC: 16384,
    MNT_DETACH: 2,
  },
  ...{ MS_NOSUID: 2, MS_NODEV: 4, MS_NOEXEC: 8, MS_SLAVE: 1 << 19, MS_PRIVATE: 1 << 18, MS_SHARED: 1 << 20 },
  ...{
    CLONE_NEWPID: 1,
    CLONE_NEWNS: 2,
    CLONE_NEWIPC: 4,
    CLONE_NEWUTS: 8,
    CLONE_NEWNET: 16,
    CLONE_NEWUSER: 32,
  },
  ...{ EPERM: 1, O_WRONLY: 1, O_CREAT: 64 },
}));
const attributes = vi.hoisted(() => vi.fn((..._: unknown[]) => 0));
vi.mock("sys", () => ({
  ...CONSTANTS,
  lstat: () => ({ mode: 0o040755 }),
  mountSetattr: attributes,
  ...{ mount: () => 0, chdir: () => 0, pivotRoot: () => 0, umount2: () => 0 },
}));
vi.mock("../../../native/runtime/check.ts", () => ({
  check: vi.fn(),
  checkValue: vi.fn(),
  failure: vi.fn(),
}));
vi.mock("../../../native/runtime/child.ts", () => ({ cloneChild: vi.fn() }));
vi.mock("../../../native/runtime/files.ts", () => ({ makeDirectories: vi.fn(), writeControl: vi.fn() }));
vi.mock("../../../keeper/processes/parked.ts", () => ({ outOfTheWay: vi.fn() }));
vi.mock("../../../keeper/processes/uplinks.ts", () => ({ placeUplink: vi.fn() }));

const { enterRoot } = await import("../../../keeper/processes/jail.ts");
const { AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MS_SLAVE } =
  CONSTANTS;
const VOLUMES = { source: "/run/volumes", target: "/share", readonly: false, follow: true, temporary: false };
const NOTHING_ELSE = { keepsProc: undefined, forks: undefined, calls: undefined, uplink: undefined };

beforeEach(() => attributes.mockClear());

test("a directory in which volumes appear is read-only by itself, and the volumes are not", () => {
  enterRoot({ mounts: [VOLUMES], proc: false, ...NOTHING_ELSE });
  const [all, top] = attributes.mock.calls;
  expect(all).toEqual([
    AT_FDCWD,
    "/proc/share",
    AT_RECURSIVE,
    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
    0,
    MS_SLAVE,
  ]);
  expect(top).toEqual([AT_FDCWD, "/proc/share", 0, MOUNT_ATTR_RDONLY, 0]);
});

test("what does not follow the host is as it was asked for", () => {
  enterRoot({ mounts: [{ ...VOLUMES, follow: false }], proc: false, ...NOTHING_ELSE });
  const set = attributes.mock.calls.filter(([, place]) => place === "/proc/share");
  expect(set).toHaveLength(1);
  expect(Number(set[0]?.[3]) & MOUNT_ATTR_RDONLY).toBe(0);
});
