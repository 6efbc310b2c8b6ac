/** Cases: seccomp profiles of the node's that are odd, and what runc makes of them. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SecurityProfile_ProfileType as Profile } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import type { FidelityCase } from "../case.ts";
import type { HandlerPod } from "../handler-pod.ts";

const ALL = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"];
const allow = (...syscalls: object[]) => ({ defaultAction: "SCMP_ACT_ALLOW", architectures: ALL, syscalls });
const rule = (names: string[], action: string, more: object = {}) => ({
  names,
  action: `SCMP_ACT_${action}`,
  ...more,
});
const refuseMkdir = (action: string, more: object = {}) => allow(rule(["mkdir", "mkdirat"], action, more));
/** The second argument of lseek, which is dd's `seek`. */
const condition = (op: string, value: string, valueTwo = "0") =>
  `{"index":1,"op":"SCMP_CMP_${op}","value":${value},"valueTwo":${valueTwo}}`;
const seeking = (...conditions: string[]) =>
  `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["lseek"],"action":"SCMP_ACT_ERRNO","errnoRet":38,"args":[${conditions.join()}]}]}`;

const MKDIR = "mkdir /tmp/x; echo $?; grep Seccomp: /proc/self/status";
/** Seeks to 5 GB, which is more than 32 bits, and to 1 GB, in a file; dd ends where it is refused. */
const SEEK =
  "for s in 5000 1000; do dd if=/dev/null of=/tmp/f bs=1M count=0 seek=$s conv=notrunc 2>&1 | grep -o 'Function not impl.*' || echo $s; done";

const PROFILES: readonly (readonly [string, object | string, string])[] = [
  ["an empty one", {}, MKDIR],
  ["a default action alone", { defaultAction: "SCMP_ACT_ALLOW" }, MKDIR],
  ["that kills the thread", refuseMkdir("KILL"), MKDIR],
  ["that kills the process", refuseMkdir("KILL_PROCESS"), MKDIR],
  ["that sends SIGSYS", refuseMkdir("TRAP"), MKDIR],
  ["that asks a tracer that is not there", refuseMkdir("TRACE"), MKDIR],
  ["that logs", refuseMkdir("LOG"), MKDIR],
  ["with an errno of 0", refuseMkdir("ERRNO", { errnoRet: 0 }), MKDIR],
  ["with an errno beyond those that there are", refuseMkdir("ERRNO", { errnoRet: 4096 }), MKDIR],
  ["with an unknown action", refuseMkdir("NEVER"), MKDIR],
  ["without an action for a rule", allow({ names: ["mkdir"], action: "" }), MKDIR],
  ["with system calls that nobody knows", allow(rule(["no_such_call", "mkdir"], "ERRNO")), MKDIR],
  ["with a name that is empty", allow(rule([""], "ERRNO")), MKDIR],
  ["with no names", allow(rule([], "ERRNO")), MKDIR],
  [
    "with two rules for one call",
    allow(rule(["mkdir"], "ERRNO", { errnoRet: 38 }), rule(["mkdir"], "ERRNO", { errnoRet: 1 })),
    MKDIR,
  ],
  ["with a rule that repeats the default", allow(rule(["mkdir"], "ALLOW")), MKDIR],
  ["with an unknown architecture", { ...refuseMkdir("ERRNO"), architectures: ["SCMP_ARCH_PDP11"] }, MKDIR],
  ["with an architecture twice", { ...refuseMkdir("ERRNO"), architectures: [...ALL, ...ALL] }, MKDIR],
  ["with a foreign architecture", { ...refuseMkdir("ERRNO"), architectures: ["SCMP_ARCH_AARCH64"] }, MKDIR],
  [
    "with flags",
    { ...refuseMkdir("ERRNO"), flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"] },
    MKDIR,
  ],
  ["with an unknown flag", { ...refuseMkdir("ERRNO"), flags: ["SECCOMP_FILTER_FLAG_NONE"] }, MKDIR],
  ["that is no JSON", "{", MKDIR],
  ["that is a list", "[]", MKDIR],
  ["that leaves nothing to start with", { defaultAction: "SCMP_ACT_KILL", syscalls: [] }, MKDIR],
  ["that refuses everything with an errno", { defaultAction: "SCMP_ACT_ERRNO", syscalls: [] }, MKDIR],
  ["without execve", allow(rule(["execve", "execveat"], "ERRNO", { errnoRet: 13 })), MKDIR],
  ["that compares with equal", seeking(condition("EQ", "5242880000")), SEEK],
  ["that compares with greater", seeking(condition("GT", "4294967296")), SEEK],
  [
    "that compares with less or equal",
    seeking(condition("LE", "1048576000"), '{"index":0,"op":"SCMP_CMP_NE","value":77}'),
    SEEK,
  ],
  ["that masks all 64 bits", seeking(condition("MASKED_EQ", "18446744073709551615", "5242880000")), SEEK],
  ["that masks the upper half", seeking(condition("MASKED_EQ", "18446744069414584320", "4294967296")), SEEK],
  [
    "that names an argument twice",
    seeking(condition("EQ", "5242880000"), condition("EQ", "1048576000")),
    SEEK,
  ],
  ["with an unknown comparison", seeking(condition("LIKE", "1")), SEEK],
  [
    "with a seventh argument",
    `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["lseek"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"op":"SCMP_CMP_EQ","value":1}]}]}`,
    SEEK,
  ],
];

async function withProfile(pod: HandlerPod, profile: object | string, script: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "blazar-fidelity-seccomp-"));
  try {
    const localhostRef = join(directory, "profile.json");
    await writeFile(localhostRef, typeof profile === "string" ? profile : JSON.stringify(profile));
    const seccomp = { profileType: Profile.Localhost, localhostRef };
    return await pod.run(script, { linux: { securityContext: { seccomp } } });
  } catch {
    return "refused";
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Why the answers to a profile differ, and how long it may take if runc hangs. */
const DIFFERS: Readonly<Record<string, Partial<FidelityCase>>> = {
  "with flags": {
    explained: "runc before 1.2 refuses flags that CRI hands on; blazar knows those of the kernel",
  },
  "that leaves nothing to start with": {
    explained:
      "runc waits for ever for a process that its own profile kills; under blazar it is told to have ended",
    mostMs: 20_000,
  },
  "that refuses everything with an errno": {
    explained:
      "where a profile allows no system call, the guest has none to say so: the container starts and ends at once",
  },
  "without execve": {
    explained:
      "a command that cannot be executed is told to the start; under runc the container starts and ends with an error",
  },
};

export const SECCOMP_CASES: readonly FidelityCase[] = PROFILES.map(([name, profile, script]) => ({
  name: `seccomp: a profile ${name}`,
  run: (pod) => withProfile(pod, profile, script),
  ...DIFFERS[name],
}));
