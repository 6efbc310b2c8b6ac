import { describe, expect, it } from "vitest";
import { plainScreen } from "../../../src/console/screen.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import { KVM_WORKS, type KvmFinding } from "../../../src/contracts/kvm.ts";
import type { Reconciliation } from "../../../src/contracts/reconcile.ts";
import { parseConfig } from "../../../src/daemon/config/load.ts";
import type { Parts } from "../../../src/daemon/parts/parts.ts";
import {
  type Finding,
  type HostView,
  runChecks,
  type Subject,
} from "../../../src/standalone/doctor/check.ts";
import { DAEMON_CHECKS } from "../../../src/standalone/doctor/daemon-checks.ts";
import type { Holder } from "../../../src/standalone/doctor/holder.ts";
import { HOST_CHECKS } from "../../../src/standalone/doctor/host-checks.ts";
import { findingsText } from "../../../src/standalone/doctor/report.ts";
import { FakeInspection } from "../../support/fake-inspection/inspection.ts";
import { populatedInspection } from "../../support/fake-inspection/population.ts";

const CONTAINERD = `version = 3
[proxy_plugins.blazar]
  type = 'sandbox'
  address = '/run/blazar/blazar.sock'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.blazar]
  sandboxer = 'blazar'
  runtime_path = '/usr/local/bin/containerd-shim-blazar-v1'
`;
const LOST = {
  ...{ kind: "directory", text: "directory /run/blazar/vm/0a", action: "removes it" },
  ...{ error: "", since: 0 },
} as const;
const RANGE = "/proc/sys/net/ipv4/ping_group_range";
const CONFIG = "/etc/containerd/config.toml";

const VERSIONS: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\n",
  containerd: "containerd github.com/containerd/containerd/v2 2.1.9+unknown \n",
};

/** A host on which all is well. */
const FILES: Readonly<Record<string, string>> = {
  "/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
  "/proc/sys/kernel/osrelease": "6.1.0-44-amd64\n",
  "/proc/filesystems": "nodev\toverlay\n\text4\n",
  "/proc/sys/user/max_user_namespaces": "15000\n",
  "/proc/sys/kernel/seccomp/actions_avail": "kill errno allow\n",
  "/proc/pressure/memory": "some avg10=0.00\n",
  "/etc/subuid": "alice:100000:65536\n",
  [RANGE]: "0\t2147483647\n",
  [CONFIG]: CONTAINERD,
};

interface Different {
  readonly files?: Readonly<Record<string, string | undefined>>;
  readonly config?: string;
  readonly host?: Partial<HostView>;
  readonly inspection?: FakeInspection;
  readonly daemon?: "none";
  readonly holder?: Holder;
  readonly keeper?: Holder;
  readonly reconciled?: () => Promise<Reconciliation>;
  readonly parts?: Error;
  readonly reconciliation?: Partial<Reconciliation>;
}

async function examine(different: Different = {}) {
  const { files = {}, config = "", host = {}, inspection, daemon, parts, reconciliation } = different;
  const all: Readonly<Record<string, string | undefined>> = { ...FILES, ...files };
  const fake = inspection ?? new FakeInspection();
  const view: HostView = {
    uid: 0,
    node: "20.19.2",
    read: async (path) => all[path],
    names: async (directory) => {
      const below = Object.keys(all).filter((path) => path.startsWith(`${directory}/`));
      return below.length === 0 ? undefined : below.map((path) => path.slice(directory.length + 1));
    },
    may: async () => true,
    kvmProblem: async () => undefined,
    which: async (program) => `/usr/bin/${program}`,
    versionOf: async (program) => VERSIONS[program],
    freeBytes: async () => 100 * 2 ** 30,
    answers: async () => true,
    ...host,
  };
  const subject: Subject = {
    host: view,
    config: parseConfig(config, "test"),
    parts: parts ?? ({} as Parts),
    containerdConfig: CONFIG,
    reconciled: different.reconciled ?? (async () => ({ differences: [], unknown: [], ...reconciliation })),
    holder: different.holder,
    keeper: async () => different.keeper,
    daemon:
      daemon === "none" ? undefined : { node: fake.node(), sandboxIds: fake.list().map(({ id }) => id) },
  };
  return await runChecks({ ...DAEMON_CHECKS, ...HOST_CHECKS }, subject);
}

/** What is not as it should be: `kvm note`. */
function troubles(findings: readonly Finding[]): string[] {
  return findings.filter(({ verdict }) => verdict !== "ok").map(({ name, verdict }) => `${name} ${verdict}`);
}

/** A daemon that has found this. */
function daemonWith(kvm: KvmFinding | undefined): FakeInspection {
  const fake = new FakeInspection();
  const node = fake.node();
  fake.node = () => ({ ...node, acceleration: kvm?.state === "works" ? "kvm" : "tcg", kvm });
  return fake;
}

function onKvm(): FakeInspection {
  return daemonWith(KVM_WORKS);
}

const ABSENT: KvmFinding = { state: "absent", reason: "there is no /dev/kvm", remedy: "load kvm_intel" };
const BROKEN: KvmFinding = {
  state: "broken",
  reason: "a guest has died: KVM internal error",
  remedy: "dmesg",
};

describe("the doctor", () => {
  it("finds nothing where all is well", async () => {
    expect(troubles(await examine({ inspection: onKvm() }))).toEqual([]);
  });

  it.each([
    ["version 3", CONTAINERD, "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']"],
    [
      "version 2",
      CONTAINERD.replace("version = 3", "version = 2").replace("cri.v1.runtime", "grpc.v1.cri"),
      "version = 2\nimports = ['conf.d/b?azar.toml', 'conf.d/none.*']\n[plugins.'io.containerd.grpc.v1.cri'.cni]",
    ],
  ])("follows what containerd's configuration imports, of %s", async (_, imported, main) => {
    const files = { [CONFIG]: main, "/etc/containerd/conf.d/blazar.toml": imported };
    expect(troubles(await examine({ inspection: onKvm(), files }))).toEqual([]);
  });

  const journal = (id: string, kind: string, ready = false) =>
    [
      { type: "opened", at: 1, sandboxId: id },
      { type: "intent", at: 2, ref: 1, resource: { kind, path: "/run/blazar/sandboxes/x" } },
      { type: "fact", at: 3, name: "phase", value: ready ? { phase: "ready", createdAt: 1 } : null },
    ]
      .map((line) => `${JSON.stringify(line)}\n`)
      .join("");
  const LEFT = "f".repeat(64);

  it.each<readonly [string, Different, string[], RegExp]>([
    ["another user", { host: { uid: 1000 } }, ["privileges fault"], /run it as root/],
    ["an old Node", { host: { node: "18.20.4" } }, ["node fault"], /18.20.4 is older than 20/],
    ["no KVM", { inspection: daemonWith(ABSENT) }, ["kvm note"], /emulated.*load kvm_intel/s],
    [
      "no KVM, of a daemon that does not tell",
      { inspection: daemonWith(undefined), host: { kvmProblem: async () => ABSENT } },
      ["kvm note"],
      /absent: there is no/,
    ],
    ["a KVM that does not work", { inspection: daemonWith(BROKEN) }, ["kvm note"], /KVM internal error/],
    [
      "no KVM where it is wanted",
      { config: '[vmm]\nacceleration = "kvm"', inspection: daemonWith(ABSENT) },
      ["kvm fault"],
      /vmm.acceleration/,
    ],
    ["no QEMU", { host: { which: async () => undefined } }, ["vmm fault"], /install qemu-system-x86/],
    [
      "old control groups",
      {
        files: {
          "/sys/fs/cgroup/cgroup.controllers": undefined,
          "/proc/self/mounts": "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0",
        },
      },
      ["cgroups note"],
      /version 1/,
    ],
    [
      "a missing controller",
      { files: { "/sys/fs/cgroup/cgroup.controllers": "cpu pids" } },
      ["cgroups fault"],
      /without memory/,
    ],
    [
      "an old kernel",
      { files: { "/proc/sys/kernel/osrelease": "5.10.0" } },
      ["kernel fault"],
      /older than 5.14/,
    ],
    ["no overlayfs", { files: { "/proc/filesystems": "ext4" } }, ["kernel fault"], /modprobe overlay/],
    ["no PSI", { files: { "/proc/pressure/memory": undefined } }, ["kernel note"], /psi=1/],
    [
      "users of somebody else",
      { files: { "/etc/subuid": "bob:1899980000:65536" } },
      ["users fault"],
      /to bob/,
    ],
    [
      "a user of the host in the range",
      {
        files: {
          "/etc/passwd": "root:x:0:0::/root:/bin/sh\neve:x:1900000005:1900000005::/home/eve:/bin/sh\n",
        },
      },
      ["users fault"],
      /1900000005 .* to eve/,
    ],
    [
      "a full disk",
      { host: { freeBytes: async (path) => (path.endsWith("images") ? 1000 : 2 ** 40) } },
      ["disk fault"],
      /image.directory/,
    ],
    ["no ping", { files: { [RANGE]: "1 0" } }, ["icmp echo note"], /ping_group_range/],
    [
      "no daemon",
      { daemon: "none", config: "[keeper]\nstart = false" },
      ["daemon fault"],
      /systemctl start blazar/,
    ],
    [
      "a daemon that is stopped, and leaves alone what it holds",
      {
        ...{ daemon: "none", holder: { pid: 42, state: "T" } },
        reconciliation: { differences: [{ ...LOST, state: "confirmed" }] },
        files: { [`/run/blazar/journals/${LEFT}.jsonl`]: journal(LEFT, "directory", true) },
      },
      ["daemon fault", "leftovers note"],
      /process 42 is stopped by a signal \(state T\)\n.*kill -CONT 42[\s\S]*only the daemon \(process 42\) can tell/,
    ],
    [
      "a daemon that does not answer",
      { daemon: "none", holder: { pid: 42, state: "S" } },
      ["daemon fault", "leftovers note"],
      /process 42 has the state directory and does not answer\n.*systemctl restart blazar/,
    ],
    [
      "a daemon without inspection",
      { daemon: "none", holder: { pid: 42, state: "S" }, config: "[inspection]\nenabled = false" },
      ["daemon note", "leftovers note"],
      /runs as 42; without inspection it cannot be asked/,
    ],
    [
      "a keeper that is stopped",
      { keeper: { pid: 43, state: "T" } },
      ["keeper fault"],
      /process 43 is stopped by a signal \(state T\)\n.*kill -CONT 43/,
    ],
    [
      "a keeper that serves another task socket",
      { host: { answers: async (socket) => !socket.endsWith("task.sock") } },
      ["keeper fault"],
      /does not serve \/run\/blazar\/task.sock \(daemon.task_socket\)/,
    ],
    [
      "a state directory that is somebody else's",
      {
        reconciled: () =>
          Promise.reject(
            blazarError("HostResource", "use the state directory", "no blazard has made what is in it", {
              subject: "/srv",
              remedy: "name a directory of its own (daemon.state_directory)",
            }),
          ),
      },
      ["leftovers fault"],
      /cannot use the state directory \(\/srv\): no blazard has made[\s\S]*→ name a directory of its own/,
    ],
    [
      "no keeper",
      { host: { answers: async (socket) => !socket.endsWith("keeper.sock") } },
      ["keeper fault"],
      /blazar-keeper/,
    ],
    [
      "missing parts",
      { parts: new Error("cannot find the keeper") },
      ["parts fault"],
      /cannot find the keeper/,
    ],
    [
      "containerd's old configuration",
      { files: { [CONFIG]: CONTAINERD.replace("version = 3", "version = 1") } },
      ["containerd fault"],
      /of version 1/,
    ],
    [
      "a containerd that knows another socket",
      { files: { [CONFIG]: CONTAINERD.replace("/run/blazar/", "/x/") } },
      ["containerd fault"],
      /\/x\/blazar.sock/,
    ],
    [
      "a containerd without the runtime",
      { files: { [CONFIG]: CONTAINERD.replace("sandboxer =", "other =") } },
      ["containerd fault"],
      /no runtime with/,
    ],
    [
      "CRI's settings of two versions, of which containerd loses the older",
      {
        files: {
          [CONFIG]: "version = 2\nimports = ['conf.d/*.toml']\n[plugins.'io.containerd.grpc.v1.cri'.cni]\n",
          "/etc/containerd/conf.d/blazar.toml": CONTAINERD,
        },
      },
      ["containerd fault"],
      /config.toml is of version 2, and another file of 3/,
    ],
    [
      "a containerd without CRI",
      { files: { [CONFIG]: `disabled_plugins = ["cri"]\n${CONTAINERD}` } },
      ["containerd fault"],
      /turns CRI off\n.*disabled_plugins/,
    ],
    [
      "nothing in a drop-in that is not imported",
      {
        files: {
          [CONFIG]: "version = 3\nimports = ['conf.d/*.conf']",
          "/etc/containerd/conf.d/blazar.toml": CONTAINERD,
        },
      },
      ["containerd fault"],
      /names no sandboxer[\s\S]*blazar install/,
    ],
    [
      "a containerd without a sandbox API",
      { host: { versionOf: async (name) => (VERSIONS[name] ?? "").replace("v2 2.1.9", "1.7.24") } },
      ["containerd fault"],
      /1\.7\.24\S* has no sandbox API/,
    ],
    [
      "an old QEMU",
      { host: { versionOf: async (name) => (VERSIONS[name] ?? "").replace("7.2.22", "5.2.0") } },
      ["vmm fault"],
      /5\.2\.0, is older than 7\.2/,
    ],
    ["what is not TOML", { files: { [CONFIG]: "version = " } }, ["containerd fault"], /not TOML/],
    [
      "no shim",
      { host: { may: async (path) => !path.includes("shim") } },
      ["containerd fault"],
      /containerd-shim-blazar-v1/,
    ],
    [
      "leftovers of a daemon that does not run",
      { daemon: "none", files: { [`/run/blazar/journals/${LEFT}.jsonl`]: journal(LEFT, "directory") } },
      ["daemon fault", "leftovers fault"],
      /ffffffffffff has left directory \/run\/blazar.*\n.*start the daemon: it undoes them/,
    ],
    [
      "a pod that runs on without a daemon",
      { daemon: "none", files: { [`/run/blazar/journals/${LEFT}.jsonl`]: journal(LEFT, "directory", true) } },
      ["daemon fault", "leftovers note"],
      /ffffffffffff may run on: the next daemon takes it over/,
    ],
    [
      "what nobody holds",
      { reconciliation: { differences: [{ ...LOST, state: "confirmed" }] } },
      ["leftovers fault"],
      /directory \/run\/blazar\/vm\/0a: nobody holds it\n.*blazar doctor --fix removes it/,
    ],
    [
      "what may be in the making",
      { reconciliation: { differences: [{ ...LOST, state: "new" }] } },
      ["leftovers note"],
      /nobody holds it yet/,
    ],
    [
      "what could not be removed",
      { reconciliation: { differences: [{ ...LOST, state: "failed", error: "EBUSY" }] } },
      ["leftovers fault"],
      /cannot be removed: EBUSY/,
    ],
    ["what was removed", { reconciliation: { differences: [{ ...LOST, state: "done" }] } }, [], /is done/],
    [
      "a journal that cannot be read",
      { reconciliation: { differences: [{ ...LOST, kind: "journal", action: "", state: "confirmed" }] } },
      ["leftovers fault"],
      /look, then remove the file/,
    ],
    [
      "what it cannot look at",
      { reconciliation: { unknown: ["sandbox: containerd does not answer"] } },
      ["leftovers note"],
      /cannot look at sandbox: containerd does not answer/,
    ],
  ])("finds %s", async (_, different, expected, text) => {
    const findings = await examine({ inspection: onKvm(), ...different });
    expect(troubles(findings)).toEqual(expected);
    expect(findingsText(findings, plainScreen(100, 0))).toMatch(text);
  });

  it("says what is stuck and what the host is short of", async () => {
    const findings = await examine({ inspection: populatedInspection() });
    expect(troubles(findings)).toEqual(["daemon note", "daemon fault", "kvm note"]);
  });

  it("goes on when one of its checks fails by itself", async () => {
    const host = { freeBytes: () => Promise.reject(new Error("statfs is broken")) };
    const findings = await examine({ inspection: onKvm(), host });
    expect(troubles(findings)).toEqual(["disk fault"]);
    expect(findings.find(({ name }) => name === "disk")?.text).toContain("statfs is broken");
  });

  it("prints faults first, each with what to do", async () => {
    const host = { uid: 1000, may: async (path: string) => path !== "/dev/kvm" };
    const text = findingsText(await examine({ inspection: daemonWith(ABSENT), host }), plainScreen(100, 0));
    await expect(text).toMatchFileSnapshot("../console/snapshots/doctor.txt");
  });
});
