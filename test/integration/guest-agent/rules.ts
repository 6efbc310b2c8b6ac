/** What a container's rules forbid: devices by the cgroup's program, system calls by its seccomp filter. */
import { beforeAll, describe, expect, it } from "vitest";
import { capabilityMask } from "../../../src/protocol/guest/capabilities.ts";
import { ALWAYS_ALLOWED, deviceProgram } from "../../../src/protocol/guest/device-program.ts";
import type { GuestSeccomp } from "../../../src/protocol/guest/messages.ts";
import { type AgentBench, LAYERS, processOf, specOf, WAYS } from "../../support/bench/agent.ts";
import { seccompFilter } from "../../support/seccomp-filter.ts";

const ORDINARY = Buffer.from(deviceProgram(ALWAYS_ALLOWED)).toString("base64");
const OPEN_DISK =
  "mknod /tmp/sda b 8 0 && echo made; dd if=/tmp/sda of=/dev/null bs=512 count=1 2>&1 | head -1";

/** What `mkdir` fails with; 1 is EPERM, 38 ENOSYS. */
function refuseMkdir(errno: number): GuestSeccomp {
  return { program: seccompFilter({ mkdir: errno }).toString("base64"), flags: 0 };
}

export function describeRules(bench: AgentBench): void {
  describe.each(WAYS)("the guest agent's rules, %s,", (_way, way) => {
    beforeAll(() => {
      bench.prepares = way;
    });

    it("keep a container from its neighbour's disk, also in an exec", async () => {
      const { stdout } = await bench.run(OPEN_DISK, { deviceProgram: ORDINARY });
      expect(stdout).toBe("made\ndd: can't open '/tmp/sda': Operation not permitted\n");
      const { id } = await bench.stay(["sleep", "100"], { deviceProgram: ORDINARY });
      expect((await bench.exec(id, OPEN_DISK)).stdout).toContain("Operation not permitted");
      const serial = "mknod /tmp/ttyS0 c 4 64; cat /tmp/ttyS0 2>&1";
      expect((await bench.exec(id, serial)).stdout).toContain("Operation not permitted");
      await bench.remove(id);
    });

    it("leave the default devices and terminals usable", async () => {
      const script =
        "head -c 4 /dev/urandom | wc -c; head -c 4 /dev/zero | wc -c; echo x > /dev/null && echo null; ls /dev/pts/ptmx";
      const { stdout } = await bench.run(script, { deviceProgram: ORDINARY });
      expect(stdout).toBe("4\n4\nnull\n/dev/pts/ptmx\n");
    });

    it("allow everything where the spec does", async () => {
      const all = { allow: true, type: "a", major: undefined, minor: undefined, access: "rwm" } as const;
      const program = Buffer.from(deviceProgram([all])).toString("base64");
      const kmsg = "mknod /tmp/kmsg c 1 11; head -c 1 /tmp/kmsg | wc -c";
      const { stdout } = await bench.run(kmsg, { deviceProgram: program });
      expect(stdout).toBe("1\n");
    });

    it("refuse a program that the kernel does not accept, and leave nothing", async () => {
      for (const deviceProgram of ["AAAA", "AAAAAAAAAAA=", "%%%%"]) {
        const creation = bench.create(specOf("bad", processOf(["true"]), { deviceProgram }));
        await expect(creation).rejects.toMatchObject({ code: "InvalidSpec" });
      }
      await bench.create(specOf("bad", processOf(["true"])));
      await bench.remove("bad");
    });

    it("make the devices of the spec", async () => {
      const device = { type: "c", major: 10, minor: 229, mode: 0o640, uid: 7, gid: 8 } as const;
      const devices = [
        { ...device, path: "/dev/fuse" },
        { ...device, path: "/some/where/fuse", mode: 0o600 },
      ];
      const script = "stat -c '%F %t:%T %a %u:%g' /dev/fuse /some/where/fuse";
      const { stdout } = await bench.run(script, { devices });
      expect(stdout).toBe("character special file a:e5 640 7:8\ncharacter special file a:e5 600 7:8\n");
      const inTheWay = { devices: [{ ...device, path: "/bin/busybox" }] };
      await expect(bench.create(specOf("bad", processOf(["true"]), inTheWay))).rejects.toMatchObject({
        code: "MountFailed",
        details: { subject: "/bin/busybox" },
      });
    });

    it("filter system calls, in execs, too, with and without the right to new privileges", async () => {
      const capabilities = { bounding: 0, effective: 0, permitted: 0, inheritable: 0, ambient: 0 };
      const net = capabilityMask(["CAP_NET_BIND_SERVICE"]);
      const script = "mkdir /tmp/new; grep -E '^(Cap(Prm|Eff|Amb)|Seccomp:|NoNewPrivs)' /proc/self/status";
      for (const noNewPrivileges of [true, false]) {
        const own = { ...capabilities, bounding: net, permitted: net, inheritable: net, ambient: net };
        const { stdout, stderr } = await bench.run(
          script,
          { seccomp: refuseMkdir(1) },
          { noNewPrivileges, uid: 7, gid: 8, capabilities: own },
        );
        expect(stderr).toContain("mkdir: can't create directory '/tmp/new': Operation not permitted");
        expect(stdout).toBe(
          [
            "CapPrm:\t0000000000000400",
            "CapEff:\t0000000000000400",
            "CapAmb:\t0000000000000400",
            `NoNewPrivs:\t${noNewPrivileges ? 1 : 0}`,
            "Seccomp:\t2\n",
          ].join("\n"),
        );
      }
      const { id } = await bench.stay(["sleep", "100"], { seccomp: refuseMkdir(38) });
      expect((await bench.exec(id, "mkdir /tmp/new 2>&1")).stdout).toContain("Function not implemented");
      await bench.remove(id);
    });

    it("refuse a filter that the kernel does not accept", async () => {
      const seccomp = { program: Buffer.alloc(8).toString("base64"), flags: 0 };
      await bench.create(specOf("bad", processOf(["true"]), { seccomp }));
      await expect(bench.guest.request("process.start", { id: "bad", execId: "" })).rejects.toMatchObject({
        code: "InvalidSpec",
      });
      await bench.remove("bad");
    });

    it("end a process whose filter refuses everything, its end, too", async () => {
      // BPF_RET of SECCOMP_RET_ERRNO with EPERM (seccomp(2))
      const program = Buffer.from([6, 0, 0, 0, 1, 0, 5, 0]).toString("base64");
      const { status } = await bench.run("true", { seccomp: { program, flags: 0 } });
      // SIGILL: the one way out that needs no system call
      expect(status).toBe(128 + 4);
    });

    it("start a process with as many arguments and variables as the kernel takes", async () => {
      const env = Array.from({ length: 20_000 }, (_, each) => `SERVICE_${each}_HOST=10.0.0.1`);
      const long = Array.from({ length: 10 }, (_, each) => `${each}${"x".repeat(100_000)}`);
      const path = "PATH=/bin:/sbin:/usr/bin:/usr/sbin";
      // env(1) says what it has but for what it is told to leave out; a shell takes seconds to read so many
      const args = ["env", ...long.flatMap((name) => ["-u", name])];
      const { stdout } = await bench.run(args, {}, { env: [path, ...env, `${long[9]}=1`] });
      expect(stdout.split("\n").sort()).toEqual(["", path, "HOME=/root", ...env].sort());
      const tooLong = processOf(["true", "x".repeat(140_000)], { env: [path] });
      await bench.create(specOf("bad", tooLong));
      await expect(bench.guest.request("process.start", { id: "bad", execId: "" })).rejects.toMatchObject({
        code: "CommandNotExecutable",
        details: { reason: expect.stringMatching(/argument list too long/i) },
      });
      await bench.remove("bad");
    });

    it("fill in an empty HOME", async () => {
      const env = ["PATH=/bin", "HOME="];
      const { stdout } = await bench.run("echo $HOME", { rootfs: LAYERS }, { env, uid: 7 });
      expect(stdout).toBe("/home/user\n");
    });

    it("give the output of children whose exec has ended, for a while", async () => {
      const { id } = await bench.stay(["sleep", "100"], { drainMs: 3_000 });
      const late = await bench.exec(id, "(sleep 0.5; echo late) & echo ok");
      expect(late).toEqual({ status: 0, stdout: "ok\nlate\n" });
      const started = performance.now();
      const { stdout } = await bench.exec(id, "sleep 90 & echo ok");
      expect(stdout).toBe("ok\n");
      expect(performance.now() - started).toBeGreaterThan(2_900);
      await bench.remove(id);
    });
  });
}
