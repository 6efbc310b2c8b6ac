import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BlazarError } from "../../../src/contracts/errors.ts";
import { translateSpec } from "../../../src/oci/spec/translate.ts";
import { criSpec } from "../../support/cri-spec.ts";

/** Fields of a spec, each with a value that no field has in an ordinary one. */
const FIELDS: Readonly<Record<string, unknown>> = {
  "process.args": ["other"],
  "process.env": ["OTHER=1"],
  "process.cwd": "/other",
  "process.terminal": true,
  "process.consoleSize": { height: 7, width: 9 },
  "process.user.uid": 77,
  "process.user.gid": 77,
  "process.user.umask": 0o77,
  "process.user.additionalGids": [77],
  "process.capabilities.ambient": ["CAP_KILL"],
  "process.capabilities.inheritable": ["CAP_KILL"],
  "process.capabilities.bounding": ["CAP_NO_SUCH"],
  "process.rlimits": [{ type: "RLIMIT_CORE", soft: 1, hard: 2 }],
  "process.noNewPrivileges": false,
  "process.oomScoreAdj": 7,
  "process.apparmorProfile": "other",
  "process.selinuxLabel": "other",
  "process.ioPriority": { class: "IOPRIO_CLASS_RT" },
  "process.scheduler": { policy: "SCHED_FIFO" },
  "process.execCPUAffinity": { initial: "0" },
  "root.readonly": true,
  mounts: [{ destination: "/other", type: "tmpfs", source: "tmpfs", options: ["size=1m"] }],
  "hooks.prestart": [{ path: "/bin/true" }],
  "linux.uidMappings": [{ containerID: 0, hostID: 1, size: 1 }],
  "linux.gidMappings": [{ containerID: 0, hostID: 1, size: 1 }],
  "linux.namespaces": [{ type: "user" }],
  "linux.devices": [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }],
  "linux.netDevices": { eth1: {} },
  "linux.sysctl": { "net.ipv4.ip_forward": "1" },
  "linux.seccomp": { defaultAction: "SCMP_ACT_ALLOW" },
  "linux.maskedPaths": ["/other"],
  "linux.readonlyPaths": ["/other"],
  "linux.mountLabel": "other",
  "linux.rootfsPropagation": "rshared",
  "linux.intelRdt": { closID: "x" },
  "linux.personality": { domain: "LINUX32" },
  "linux.resources.devices": [{ allow: true, access: "rwm" }],
  "linux.resources.memory.limit": 4096,
  "linux.resources.memory.reservation": 4096,
  "linux.resources.memory.swap": -1,
  "linux.resources.memory.disableOOMKiller": true,
  "linux.resources.cpu.shares": 77,
  "linux.resources.cpu.quota": 77_000,
  "linux.resources.cpu.period": 77_000,
  "linux.resources.cpu.burst": 77,
  "linux.resources.cpu.cpus": "0",
  "linux.resources.cpu.mems": "0",
  "linux.resources.cpu.idle": 1,
  "linux.resources.cpu.realtimeRuntime": 77,
  "linux.resources.pids.limit": 77,
  "linux.resources.hugepageLimits": [{ pageSize: "2MB", limit: 0 }],
  "linux.resources.blockIO": { weight: 77 },
  "linux.resources.network": { classID: 77 },
  "linux.resources.rdma": { mlx: { hcaHandles: 1 } },
  "linux.resources.unified": { "memory.high": "4096" },
};

/** What a field does: whether it changes the request, is told by name, or is refused by name. */
function fateOf(field: string): "applied" | "told" | "refused" | "dropped" {
  const before = translateSpec(criSpec());
  const spec = criSpec();
  put(spec, field.split("."), FIELDS[field]);
  try {
    const { warnings, notices, ...after } = translateSpec(spec);
    const { warnings: _w, notices: _n, ...same } = before;
    if (JSON.stringify(after) !== JSON.stringify(same)) return "applied";
    return warnings.length + notices.length > 0 ? "told" : "dropped";
  } catch (error) {
    const { details } = error as BlazarError;
    return details.subject?.includes(field.split(".")[1] ?? field) === true ? "refused" : "dropped";
  }
}

describe("every field of a spec that is read", () => {
  test.each(Object.keys(FIELDS))("%s is applied, told or refused by name", (field) => {
    expect(fateOf(field)).not.toBe("dropped");
  });

  test("any of them together, right or wrong, are translated or refused by a BlazarError that names a field", () => {
    const wrong = fc.oneof(fc.jsonValue(), fc.constantFrom("__proto__", -1, 1e300, "", "\0", null, [], {}));
    const change = fc.record({
      field: fc.constantFrom(...Object.keys(FIELDS)),
      value: fc.option(wrong, { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const spec = criSpec();
        for (const { field, value } of changes) put(spec, field.split("."), value ?? FIELDS[field]);
        try {
          translateSpec(spec);
        } catch (error) {
          expect(error).toBeInstanceOf(BlazarError);
          expect((error as BlazarError).code).toMatch(/^(InvalidSpec|UnsupportedSpec)$/);
          expect((error as BlazarError).details.subject).toMatch(/^(process|root|mounts|hooks|linux)/);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

function put(target: object, [key = "", ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
    return;
  }
  const next: unknown = Reflect.get(target, key);
  const inner = typeof next === "object" && next !== null && !Array.isArray(next) ? next : {};
  Reflect.set(target, key, inner);
  put(inner, rest, value);
}
