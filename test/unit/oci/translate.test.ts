import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlazarError } from "../../../src/contracts/errors.ts";
import { translateProcess } from "../../../src/oci/spec/process.ts";
import { weightOfShares } from "../../../src/oci/spec/resources.ts";
import { translateSpec } from "../../../src/oci/spec/translate.ts";
import { capabilityMask } from "../../../src/protocol/guest/capabilities.ts";
import { containerCreate, guestProcess } from "../../../src/protocol/guest/messages.ts";
import { codeOf } from "../../support/code-of.ts";
import { criSpec, mount, SANDBOX_FILES, SANDBOX_PID } from "../../support/cri-spec.ts";

const ROOTFS = {
  kind: "layers",
  path: "c1/rootfs",
  imageSerials: [],
  diskSerial: "d1",
  filesystem: "ext4",
  readonly: false,
};
const STDIO = { stdin: 0, stdout: 1, stderr: 2 };

/** What the guest makes of it. */
function guestAccepts(create: object): unknown {
  return containerCreate(
    { ...create, id: "c1", pidTarget: "", rootfs: ROOTFS, stdio: STDIO, drainMs: 0, returned: [] },
    "create",
  );
}

describe("an ordinary CRI spec", () => {
  const { create, rootReadonly, pidTarget, warnings } = translateSpec(criSpec());

  test("is understood by the guest without a warning", () => {
    expect(warnings).toEqual([]);
    expect(guestAccepts(create)).toMatchObject(create);
    expect(rootReadonly).toBe(false);
    expect(pidTarget).toBeUndefined();
  });

  test("keeps the process", () => {
    expect(create.process).toMatchObject({
      args: ["/bin/sh", "-c", "echo hello; sleep 60"],
      uid: 1000,
      gid: 1000,
      additionalGids: [1000, 2000],
      cwd: "/",
      terminal: false,
      noNewPrivileges: true,
      oomScoreAdj: 1000,
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: -1 }],
    });
    const netRaw = capabilityMask(["CAP_NET_RAW"]);
    expect((create.process.capabilities?.bounding ?? 0) & netRaw).toBe(netRaw);
    expect(create.process.capabilities?.ambient).toBe(0);
  });

  test("keeps the kernel's filesystems and drops the files that the sandbox has", () => {
    expect(create.mounts.map(({ destination, type }) => `${type} ${destination}`)).toEqual([
      ...[
        "proc /proc",
        "tmpfs /dev",
        "devpts /dev/pts",
        "tmpfs /dev/shm",
        "mqueue /dev/mqueue",
        "sysfs /sys",
      ],
      "cgroup /sys/fs/cgroup",
    ]);
  });

  test("turns limits into files of cgroup v2", () => {
    expect(create.cgroup).toEqual({
      "memory.max": "268435456",
      "memory.swap.max": "0",
      "cpu.max": "50000 100000",
      "cpu.weight": String(weightOfShares(512)),
    });
  });
});

describe("mounts", () => {
  test("a bind of the host is a volume: its mount names what is asked for, in the order of the spec", () => {
    const spec = criSpec();
    spec.mounts.push(mount("/data", "bind", "/var/lib/volumes/db/", ["rbind", "rprivate", "rw", "nosuid"]));
    spec.mounts.push(mount("/data/sub", "tmpfs", "tmpfs", []));
    spec.mounts.push(mount("/ro", "none", "/srv/x", ["bind", "rslave", "rro"]));
    const { create, volumes } = translateSpec(spec);
    expect(create.mounts.slice(-3)).toEqual([
      { type: "volume", source: "0", destination: "/data", options: ["rw", "nosuid"] },
      { type: "tmpfs", source: "tmpfs", destination: "/data/sub", options: [] },
      { type: "volume", source: "1", destination: "/ro", options: ["rro"] },
    ]);
    const usual = { recursive: true, slave: false, readonly: false, idmapped: false };
    expect(volumes).toEqual([
      { field: "mounts[8]", source: "/var/lib/volumes/db/", destination: "/data", ...usual },
      {
        field: "mounts[10]",
        source: "/srv/x",
        destination: "/ro",
        recursive: false,
        slave: true,
        readonly: true,
        idmapped: false,
      },
    ]);
  });

  test("what containerd 2.3 binds of /sys for hostNetwork with a user namespace is the guest's own; a hostPath is a volume", () => {
    const bound = ["rbind", "rro", "nosuid", "nodev", "noexec"];
    const mounts = [
      mount("/sys", "bind", "/sys", bound),
      mount("/sys", "bind", "/sys", ["rbind", "rprivate", "ro"]),
    ];
    const { create, volumes } = translateSpec({ ...criSpec(), mounts });
    expect(create.mounts).toEqual([
      { type: "sysfs", source: "sysfs", destination: "/sys", options: ["nosuid", "noexec", "nodev", "ro"] },
      { type: "volume", source: "0", destination: "/sys", options: ["ro"] },
    ]);
    expect(volumes).toMatchObject([{ source: "/sys" }]);
  });

  test.each(["shared", "rshared"])("propagation to the host (%s) is refused by name", (option) => {
    const spec = criSpec();
    spec.mounts.push(mount("/data", "bind", "/srv/x", ["rbind", option, "rw"]));
    expect(() => translateSpec(spec)).toThrow(
      `cannot obey the OCI spec (mounts[8]): /srv/x at /data is ${option} (Bidirectional): mounts in a VM cannot reach ` +
        "the host; set mountPropagation: HostToContainer or None",
    );
    expect(codeOf(() => translateSpec(spec))).toBe("UnsupportedSpec");
  });

  test.each(["", "relative", undefined])("a bind of %j is refused", (source) => {
    const bind = { ...mount("/x", "bind", "", ["rbind"]), source };
    expect(codeOf(() => translateSpec({ ...criSpec(), mounts: [bind] }))).toBe("InvalidSpec");
  });

  test.each(["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc//hosts", "/etc/x/../hosts"])(
    "containerd's own file at %s is left out in silence: the sandbox has it",
    (destination) => {
      const source = `${SANDBOX_FILES}/${path.basename(destination)}`;
      const spec = { ...criSpec(), mounts: [mount(destination, "bind", source, ["rbind"])] };
      expect(translateSpec(spec)).toMatchObject({ create: { mounts: [] }, volumes: [], warnings: [] });
    },
  );

  test.each(["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/shm"])(
    "anything else at %s is a volume",
    (destination) => {
      const spec = { ...criSpec(), mounts: [mount(destination, "bind", "/somewhere/else", ["rbind"])] };
      expect(translateSpec(spec).volumes).toMatchObject([{ source: "/somewhere/else", destination }]);
    },
  );

  test("so is what only looks like containerd's own file", () => {
    const source = "/srv/sandboxes/5e1f/hosts";
    const spec = { ...criSpec(), mounts: [mount("/etc/hosts", "bind", source, ["rbind"])] };
    expect(translateSpec(spec).volumes).toMatchObject([{ source, destination: "/etc/hosts" }]);
  });

  test.each(["/run/containerd/io.containerd.grpc.v1.cri/sandboxes/5e1f/shm", "/dev/shm"])(
    "a bind of %s at /dev/shm becomes the sandbox's shared memory",
    (source) => {
      const spec = { ...criSpec(), mounts: [mount("/dev/shm", "bind", source, ["rbind", "ro"])] };
      expect(translateSpec(spec)).toMatchObject({
        create: { mounts: [{ type: "tmpfs", destination: "/dev/shm" }] },
        volumes: [],
      });
    },
  );

  test("cgroups are read-only even where the spec says rw", () => {
    const spec = { ...criSpec(), mounts: [mount("/sys/fs/cgroup", "cgroup2", "cgroup", ["rw", "nosuid"])] };
    const { create, warnings } = translateSpec(spec);
    expect(create.mounts[0]).toMatchObject({ type: "cgroup", options: expect.arrayContaining(["ro"]) });
    expect(warnings).toEqual([expect.stringContaining("/sys/fs/cgroup")]);
  });

  test.each(["nfs", "overlay", "hugetlbfs", ""])("the type %j is refused", (type) => {
    const spec = { ...criSpec(), mounts: [mount("/x", type, "x", [])] };
    expect(codeOf(() => translateSpec(spec))).toBe("UnsupportedSpec");
  });
});

describe("the PID namespace", () => {
  const withPid = (pid: { type: string; path?: string } | undefined) => {
    const spec = criSpec();
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "pid");
    if (pid !== undefined) spec.linux.namespaces.push(pid);
    const { create, pidTarget } = translateSpec(spec);
    return [create.pidNamespace, pidTarget];
  };

  test("is the container's own without a path", () => {
    expect(withPid({ type: "pid" })).toEqual(["container", undefined]);
    expect(withPid({ type: "pid", path: "" })).toEqual(["container", undefined]);
  });

  test("is the sandbox's where the path names the sandbox, or nothing is said", () => {
    expect(withPid({ type: "pid", path: `/proc/${SANDBOX_PID}/ns/pid` })).toEqual(["sandbox", undefined]);
    expect(withPid(undefined)).toEqual(["sandbox", undefined]);
  });

  test("is another container's where the path names another task", () => {
    expect(withPid({ type: "pid", path: "/proc/777/ns/pid" })).toEqual(["target", 777]);
  });
});

describe("arguments and variables", () => {
  const processOf = (env: string[], args = ["true"]) => translateProcess({ args, env, cwd: "/" }).process;

  test("the last of two variables with one name counts", () => {
    expect(processOf(["A=1", "B=2", "A=3", "AB=4", "A="]).env).toEqual(["A=", "B=2", "AB=4"]);
  });

  test.each(["A", "", "=x"])("the variable %j is refused by its place", (wrong) => {
    expect(() => processOf(["A=1", wrong])).toThrow(
      `process.env[1]): "${wrong}" is not a name, "=" and a value`,
    );
  });

  test("there may be 20,000 variables and 1.5 MB of arguments", () => {
    const env = Array.from({ length: 20_000 }, (_, each) => `SERVICE_${each}_HOST=10.0.0.1`);
    const args = ["true", ...Array.from({ length: 15 }, () => "x".repeat(100_000))];
    expect(processOf(env, args)).toMatchObject({ env, args });
  });

  test("names of no capability are passed over, with a warning", () => {
    const sets = { bounding: ["CAP_KILL", "CAP_NOTHING"], permitted: ["CAP_NOTHING"] };
    const { process, warnings } = translateProcess({ args: ["true"], cwd: "/", capabilities: sets });
    expect(process.capabilities).toMatchObject({ bounding: capabilityMask(["CAP_KILL"]), permitted: 0 });
    expect(warnings).toEqual(["process.capabilities has names of no capability: CAP_NOTHING"]);
  });
});

describe("an exec's process", () => {
  test("has its terminal and window", () => {
    const { process } = translateProcess({
      terminal: true,
      consoleSize: { height: 24, width: 80 },
      args: ["sh"],
      cwd: "/tmp",
      user: { uid: 0, gid: 0, umask: 18 },
    });
    expect(process).toMatchObject({ terminal: true, rows: 24, columns: 80, umask: 0o22, env: [] });
    expect(process.capabilities).toBeUndefined();
  });
});

describe("any JSON at all", () => {
  test("is translated into what the guest accepts or refused by a BlazarError", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => holds(() => translateSpec(value))));
    fc.assert(fc.property(fc.jsonValue(), (value) => holdsProcess(value)));
  });

  test("also where it begins as a proper spec", () => {
    const paths = leafPaths(criSpec());
    const mutation = fc.record({
      path: fc.constantFrom(...paths),
      value: fc.oneof(
        fc.jsonValue(),
        fc.constantFrom("__proto__", -1, 1e300, "", "\0", null, [], {}),
        fc.nat(),
      ),
    });
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        const spec = criSpec();
        for (const { path, value } of mutations) set(spec, path, value);
        holds(() => translateSpec(spec));
        holdsProcess(spec.process);
      }),
      { numRuns: 1000 },
    );
  });
});

function holds(translate: () => ReturnType<typeof translateSpec>): void {
  try {
    const { create, warnings } = translate();
    guestAccepts(JSON.parse(JSON.stringify(create)));
    expect(warnings.every((warning) => typeof warning === "string")).toBe(true);
  } catch (error) {
    expect(error).toBeInstanceOf(BlazarError);
    expect((error as BlazarError).code).toMatch(/^(InvalidSpec|UnsupportedSpec)$/);
  }
}

function holdsProcess(value: unknown): void {
  try {
    guestProcess(JSON.parse(JSON.stringify(translateProcess(value).process)), "process");
  } catch (error) {
    expect(error).toBeInstanceOf(BlazarError);
    expect((error as BlazarError).code).toBe("InvalidSpec");
  }
}

type Path = readonly (string | number)[];

function leafPaths(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const keys = Array.isArray(value) ? value.keys() : Object.keys(value);
  return [
    ...(path.length > 0 ? [path] : []),
    ...[...keys].flatMap((key) => leafPaths(Reflect.get(value, key), [...path, key])),
  ];
}

function set(target: object, path: Path, value: unknown): void {
  const [key, ...rest] = path;
  if (key === undefined) return;
  const next: unknown = Reflect.get(target, key);
  if (rest.length > 0 && typeof next === "object" && next !== null) set(next, rest, value);
  else Reflect.set(target, key, value);
}
