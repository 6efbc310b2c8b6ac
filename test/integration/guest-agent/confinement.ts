/** What a container sees and may do: namespaces, limits, identity, paths and mounts. */
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { until } from "../../../lab/host/until.ts";
import { capabilityMask } from "../../../src/protocol/guest/capabilities.ts";
import type { ContainerCreate } from "../../../src/protocol/guest/messages.ts";
import { type AgentBench, LAYERS, MOUNTS, processOf, specOf, WAYS } from "../../support/bench/agent.ts";

export function describeNamespaces(bench: AgentBench): void {
  describe.each(WAYS)("the guest agent's namespaces and limits, %s,", (_way, way) => {
    beforeAll(() => {
      bench.prepares = way;
    });

    it("put containers into one PID namespace where asked, and reap its orphans", async () => {
      const { id } = await bench.stay(["sleep", "1234"], { pidNamespace: "sandbox" });
      const script = "(sleep 0.1 &) ; sleep 0.4; ps -o pid,stat,comm,args; ls /proc/1/root/; echo root $?";
      const { stdout } = await bench.run(script, { pidNamespace: "sandbox" });
      expect(stdout).toMatch(/\b1 S\s+pause/);
      expect(stdout).toContain("sleep 1234");
      expect(stdout).not.toMatch(/\bZ\b/);
      expect(stdout).not.toContain("rootfs");
      expect(bench.guest.hasExited(id)).toBe(false);
      await bench.remove(id);
    });

    it("end everything in a container with its first process, in the shared namespace, too", async () => {
      const { id, output } = await bench.stay(["sh", "-c", "sleep 555 & echo up; read line"], {
        pidNamespace: "sandbox",
      });
      await output.ended;
      expect((await bench.guest.exit(id)).status).not.toBe(137);
      const { stdout } = await bench.run("ps", { pidNamespace: "sandbox" });
      expect(stdout).not.toContain("sleep 555");
      await bench.remove(id);
    });

    it("join another container's PID namespace", async () => {
      const { id } = await bench.stay(["sleep", "4321"]);
      const { stdout } = await bench.run("cat /proc/1/cmdline", { pidNamespace: "target", pidTarget: id });
      expect(stdout).toBe("sleep\u00004321\u0000");
      await bench.remove(id);
    });

    it("share /dev/shm", async () => {
      const { id } = await bench.stay(["sh", "-c", "echo shared > /dev/shm/x; echo up; exec sleep 100"]);
      const { stdout } = await bench.run("sleep 0.2; cat /dev/shm/x; df -k /dev/shm | tail -1");
      expect(stdout).toContain("shared\n");
      expect(stdout).toMatch(/\b1024\b/);
      await bench.remove(id);
    });

    it("apply limits, mask, directory and home, and let a user open its own stderr again", async () => {
      const script = "ulimit -n; ulimit -Hn; umask; pwd; echo $HOME; echo again > /dev/stderr";
      const process = {
        uid: 7,
        gid: 8,
        umask: 0o27,
        cwd: "/made/for/it",
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 123, hard: 456 }],
      };
      const { stdout, stderr } = await bench.run(script, { rootfs: LAYERS }, process);
      expect(stdout).toBe("123\n456\n0027\n/made/for/it\n/home/user\n");
      expect(stderr).toBe("again\n");
    });

    it("apply identity and capabilities", async () => {
      const capabilities = {
        bounding: capabilityMask(["CAP_CHOWN", "CAP_KILL"]),
        effective: capabilityMask(["CAP_KILL"]),
        permitted: capabilityMask(["CAP_KILL"]),
        inheritable: capabilityMask(["CAP_KILL"]),
        ambient: capabilityMask(["CAP_KILL"]),
      };
      const script = "grep -E '^(Cap|NoNewPrivs|Groups)' /proc/self/status; id";
      const { stdout } = await bench.run(
        script,
        {},
        { uid: 7, gid: 8, additionalGids: [9, 10], capabilities },
      );
      expect(stdout).toContain("CapInh:\t0000000000000020\n");
      expect(stdout).toContain("CapPrm:\t0000000000000020\n");
      expect(stdout).toContain("CapEff:\t0000000000000020\n");
      expect(stdout).toContain("CapBnd:\t0000000000000021\n");
      expect(stdout).toContain("CapAmb:\t0000000000000020\n");
      expect(stdout).toContain("NoNewPrivs:\t1\n");
      expect(stdout).toContain("uid=7 gid=8 groups=9");
    });

    it("have kernel modules loaded for them, which the guest does without until then", async () => {
      const all = capabilityMask(["CAP_NET_ADMIN", "CAP_NET_RAW"]);
      const capabilities = {
        ...{ bounding: all, effective: all, permitted: all },
        inheritable: 0,
        ambient: 0,
      };
      const kinds = ["bridge", "dummy", "ifb", "wireguard"].map(
        (kind) => `ip link add new-${kind} type ${kind} && ip link del new-${kind}`,
      );
      const { stdout, stderr } = await bench.run(
        `arping -c 1 -I lo 127.0.0.1 >&- 2>&-; ls /proc/net/packet; ${kinds.join(" && ")} && echo loaded`,
        {},
        { capabilities },
      );
      expect(`${stdout}${stderr}`).toBe("/proc/net/packet\nloaded\n");
    });

    it("say that memory has run out", async () => {
      const result = await bench.run(["sh", "-c", "tail /dev/zero"], { cgroup: { "memory.max": "8388608" } });
      expect(result).toMatchObject({ status: 137, oomKilled: true });
    });

    it("say that memory has run out when it happens, and not only at the end", async () => {
      const script = "(tail /dev/zero); echo $?; exec sleep 100";
      const id = bench.newId();
      const { stream: stdout, output } = bench.guest.output();
      const limits = { cgroup: { "memory.max": "8388608", "memory.oom.group": "0" } };
      await bench.create(
        specOf(id, processOf(["sh", "-c", script]), { stdio: { stdin: 0, stdout, stderr: 0 }, ...limits }),
      );
      const killed = bench.guest.oomKill(id);
      await bench.guest.request("process.start", { id, execId: "" });
      await killed;
      await until("the shell goes on", async () => output.text() === "137\n" || undefined);
      await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: false });
      expect(await bench.guest.exit(id)).toMatchObject({ status: 137 });
      expect(bench.guest.oomKills(id)).toBe(1);
      await bench.remove(id);
    });

    it("keep all of their limits, and live, if a new one is wrong or below what they hold", async () => {
      const script = "dd if=/dev/zero bs=20M count=1 2>/dev/null | (head -c 1; echo held; exec sleep 100)";
      const id = bench.newId();
      const { stream: stdout, output } = bench.guest.output();
      const limits = { "memory.max": "67108864", "pids.max": "40" };
      const stdio = { stdin: 0, stdout, stderr: 0 };
      await bench.create(specOf(id, processOf(["sh", "-c", script]), { stdio, cgroup: limits }));
      await bench.guest.request("process.start", { id, execId: "" });
      await until("20 MB in memory", async () => output.text().includes("held") || undefined);
      const update = (cgroup: Record<string, string>) =>
        bench.guest.request("container.update", { id, cgroup });
      const low = update({ "pids.max": "50", "memory.max": "8388608" });
      await expect(low).rejects.toThrow(
        /^cannot limit the memory \(memory\.max=8388608\): its processes use 2\d{7} bytes, and would be killed/,
      );
      await expect(update({ "pids.max": "50", "memory.high": "wrong" })).rejects.toMatchObject({
        code: "InvalidSpec",
      });
      const present = async () => {
        const { files } = await bench.guest.request("container.stats", { id });
        return Object.fromEntries(Object.keys(limits).map((name) => [name, files[name]?.trim()]));
      };
      expect(await present()).toEqual(limits);
      await update({ "pids.max": "50", "memory.max": "41943040" });
      expect(await present()).toEqual({ "memory.max": "41943040", "pids.max": "50" });
      await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: false });
      expect(await bench.guest.exit(id)).toMatchObject({ status: 137 });
      expect(bench.guest.oomKills(id)).toBe(0);
      await bench.remove(id);
    });

    it("slow down nothing that is done for a container before it is there", async () => {
      const id = bench.newId();
      await bench.create(specOf(id, processOf(["sleep", "100"]), { cgroup: { "cpu.max": "1000 100000" } }));
      const throttled = async () => {
        const { files } = await bench.guest.request("container.stats", { id });
        return Number(/^nr_throttled (\d+)$/m.exec(files["cpu.stat"] ?? "")?.[1]);
      };
      expect(await throttled()).toBe(0);
      await bench.guest.request("process.start", { id, execId: "" });
      await until("the quota", async () => (await throttled()) > 0 || undefined);
      await bench.remove(id);
    });

    it("do not slow down the end of what is killed", async () => {
      const script = "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); done; echo made; wait";
      const { id } = await bench.stay(["sh", "-c", script]);
      const counted = async () => (await bench.guest.request("container.pids", { id })).children?.length;
      await until("its processes", async () => (await counted()) === 60 || undefined);
      await bench.guest.request("container.update", { id, cgroup: { "cpu.max": "1000 1000000" } });
      const began = performance.now();
      await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: true });
      expect(await bench.guest.exit(id)).toMatchObject({ status: 137 });
      await bench.remove(id);
      // a thousandth of a processor would be some minutes
      expect(performance.now() - began).toBeLessThan(20_000);
    });

    it("slow down an exec's own command, and nothing that is done for it before", async () => {
      const { id } = await bench.stay(["sleep", "100"], { cgroup: { "cpu.max": "1000 100000" } });
      const own = "grep -c x /proc/self/cgroup; cat /proc/self/cgroup | wc -l; echo in";
      expect(await bench.exec(id, own)).toMatchObject({ stdout: "0\n1\nin\n" });
      await bench.guest.request("container.update", { id, cgroup: { "cpu.max": "max 100000" } });
      expect(await bench.exec(id, "echo in")).toMatchObject({ stdout: "in\n" });
      await bench.remove(id);
    });

    it("keep no exec out of a container that has all of its processes, nor let it have more", async () => {
      const { id } = await bench.stay(["sleep", "100"], { cgroup: { "pids.max": "1" } });
      expect(await bench.exec(id, "echo in; (echo more); true")).toMatchObject({ stdout: "in\n" });
      await bench.remove(id);
    });

    it("hide and protect paths, and set sysctls", async () => {
      const { stdout } = await bench.run(
        "wc -c < /proc/kcore; ls /sys/firmware | wc -l; echo x > /proc/sys/kernel/domainname; cat /proc/sys/net/ipv4/ip_forward",
        {
          maskedPaths: ["/proc/kcore", "/sys/firmware", "/proc/nothing"],
          readonlyPaths: ["/proc/sys", "/proc/missing"],
          sysctl: { "net.ipv4.ip_forward": "1" },
        },
      );
      expect(stdout).toBe("0\n0\n1\n");
    });

    it("make a root read-only", async () => {
      const { stdout, stderr } = await bench.run(
        "touch /x; cat /etc/hostname; touch /dev/shm/y && echo shm",
        {
          rootfs: { ...LAYERS, readonly: true },
        },
      );
      expect(stderr).toContain("Read-only file system");
      expect(stdout).toBe("pod-1\nshm\n");
    });

    it("give only the container's own cgroup", async () => {
      const { stdout } = await bench.run(
        "cat /proc/self/cgroup; ls /sys/fs/cgroup | grep -c memory.max; cat /sys/fs/cgroup/pids.max",
        {
          cgroup: { "pids.max": "33" },
        },
      );
      expect(stdout).toBe("0::/\n1\n33\n");
    });

    it("leave their limits as they are, also where a container may mount its cgroups", async () => {
      const all = capabilityMask(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
      const capabilities = { bounding: all, effective: all, permitted: all, inheritable: 0, ambient: 0 };
      const args = [
        "sh",
        "-c",
        "mkdir /tmp/c; mount -t cgroup2 c /tmp/c && mkdir /tmp/c/own && echo 99 > /tmp/c/pids.max; cat /tmp/c/pids.max",
      ];
      const { stdout, stderr } = await bench.run("true", {
        cgroup: { "pids.max": "33" },
        process: processOf(args, { capabilities }),
      });
      expect(stdout).toBe("33\n");
      expect(stderr).toMatch(/ermission|not permitted/);
    });
  });
}

export function describeMounts(bench: AgentBench): void {
  describe.each(WAYS)("the guest agent's mounts, %s,", (_way, way) => {
    beforeAll(() => {
      bench.prepares = way;
    });

    it("bind directories and files of the share", async () => {
      await mkdir(path.join(bench.guest.share, "volume"), { recursive: true });
      await writeFile(path.join(bench.guest.share, "volume/data"), "data\n");
      const bind = (source: string, destination: string): ContainerCreate["mounts"][number] => ({
        type: "bind",
        source,
        destination,
        options: ["rbind", "rprivate", "ro"],
      });
      const mounts = [...MOUNTS, bind("volume", "/new/place"), bind("volume/data", "/etc/resolv.conf")];
      const { stdout } = await bench.run("cat /new/place/data /etc/resolv.conf", { mounts });
      expect(stdout).toBe("data\ndata\n");
      for (const source of ["../etc", "/etc", "volume/../..", "nothing"]) {
        const creation = bench.create(
          specOf("bad", processOf(["true"]), { mounts: [...MOUNTS, bind(source, "/x")] }),
        );
        await expect(creation).rejects.toMatchObject({ code: "MountFailed" });
      }
    });

    it("never leave the root of a hostile image", async () => {
      const name = `hostile-${way}`;
      const root = await bench.makeRoot(name);
      await rm(path.join(root, "etc"), { recursive: true });
      await rm(path.join(root, "proc"), { recursive: true });
      await symlink("../../../../../run/sandbox", path.join(root, "etc"));
      await symlink("/run", path.join(root, "proc"));
      await symlink("/sys/fs/cgroup", path.join(root, "dev"));
      await symlink("../../../../bin/true", path.join(root, "sys"));
      const rootfs = { ...LAYERS, path: name };
      await bench.run("true", { rootfs }).catch(() => undefined);
      await bench.run("true", { rootfs, mounts: [] }).catch(() => undefined);
      // the guest's own places are what they were
      const { status, stdout } = await bench.run("cat /etc/hostname; ls /proc/self/status");
      expect({ status, stdout }).toEqual({ status: 0, stdout: "pod-1\n/proc/self/status\n" });
    });

    it("make what the links of an image lead to, in its root alone", async () => {
      const name = `dangling-${way}`;
      const root = await bench.makeRoot(name);
      await rm(path.join(root, "etc"), { recursive: true });
      await symlink("../../../../run/sandbox/new", path.join(root, "etc"));
      await symlink("../run/nowhere", path.join(root, "first"));
      await symlink("first/deep", path.join(root, "second"));
      await symlink("/ring", path.join(root, "ring"));
      const rootfs = { ...LAYERS, path: name };
      const tmpfs = (destination: string) => ({ type: "tmpfs", source: "x", destination, options: [] });
      const script =
        "cat /etc/hostname; ls -d /run/sandbox/new/hosts; grep -c '^x /run/nowhere/deep/x' /proc/mounts";
      const { status, stdout } = await bench.run(script, { rootfs, mounts: [...MOUNTS, tmpfs("/second/x")] });
      expect({ status, stdout }).toEqual({ status: 0, stdout: "pod-1\n/run/sandbox/new/hosts\n1\n" });
      const ring = bench.run("true", { rootfs, mounts: [...MOUNTS, tmpfs("/ring/x")] });
      await expect(ring).rejects.toMatchObject({ code: "MountFailed" });
    });

    it("refuse roots that are not in the share", async () => {
      for (const bad of ["../image", "/etc", "image/../..", "a:b"]) {
        const rootfs = { ...LAYERS, path: bad };
        const creation = bench.create(specOf("bad", processOf(["true"]), { rootfs }));
        await expect(creation).rejects.toMatchObject({ code: "InvalidRootfs" });
      }
    });
  });
}
