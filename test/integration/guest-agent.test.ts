/**
 * The guest agent in a real VM, without the daemon: what each request does, and what a hostile or clumsy host, image or
 * process must not achieve. All tests share one VM, because booting under software emulation is slow. So the tests in
 * guest-agent/ are called from here, after the sandbox is set up and before the machine is powered off.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AgentBench, processOf, specOf } from "../support/bench/agent.ts";
import { describeMounts, describeNamespaces } from "./guest-agent/confinement.ts";
import { describeContainers, describePreparedChildren } from "./guest-agent/containers.ts";
import { describeDials } from "./guest-agent/dials.ts";
import { describeDisks } from "./guest-agent/disks.ts";
import { describeHostileNetworks, describeNetwork } from "./guest-agent/network.ts";
import { describeRules } from "./guest-agent/rules.ts";
import { describeShells } from "./guest-agent/shells.ts";
import { describeStreams } from "./guest-agent/streams.ts";
import { describeOwnNamespaces, describeUserNamespaces } from "./guest-agent/user-namespaces.ts";
import { describeVolumes } from "./guest-agent/volumes.ts";

const bench = new AgentBench();
beforeAll(() => bench.start());
afterAll(() => bench.dispose());

describe("the guest agent", () => {
  it("makes no container before the sandbox is set up", async () => {
    const creation = bench.guest.request("container.create", specOf("early", processOf(["true"])));
    await expect(creation).rejects.toMatchObject({ code: "SandboxNotReady" });
  });

  it("sets the sandbox up, again if asked while there is no container", async () => {
    const setup = {
      sandboxId: "s1",
      hostname: "first",
      hosts: "127.0.0.1\tlocalhost\n10.0.0.9\tpod-1\n",
      resolvConf: "nameserver 192.0.2.1\n",
      now: Date.now(),
      entropy: "5a".repeat(64),
      sharedPidNamespace: true,
      shmBytes: 1 << 20,
      userNamespace: undefined,
      network: undefined,
      sysctls: {},
      limits: undefined,
    };
    const { now } = await bench.guest.request("clock.adjust", { by: 3_600_000 });
    expect((await bench.guest.request("clock.adjust", { by: -3_600_000 })).now).toBeLessThan(now - 3_000_000);
    await bench.guest.request("sandbox.setup", setup);
    await bench.guest.request("sandbox.setup", { ...setup, hostname: "pod-1", now: Date.now() });
    await bench.guest.mountShare();
    await bench.guest.mountShare();
    const script = "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; date +%s; ip addr show lo";
    const { stdout } = await bench.run(script);
    expect(stdout).toContain("pod-1\npod-1\n127.0.0.1\tlocalhost\n10.0.0.9\tpod-1\nnameserver 192.0.2.1\n");
    expect(Math.abs(Number(/^\d{9,}$/m.exec(stdout)?.[0]) - Date.now() / 1000)).toBeLessThan(60);
    expect(stdout).toContain("inet 127.0.0.1/8");
    expect(stdout).toContain("inet6 ::1/128");
  });
});

describeContainers(bench);
describeStreams(bench);
describeShells(bench);
describeDials(bench);
describeNamespaces(bench);
describeMounts(bench);
describePreparedChildren(bench);
describeDisks(bench);
describeRules(bench);
describeVolumes(bench);
describeOwnNamespaces(bench);
describeUserNamespaces(bench);
describeNetwork(bench);
describeHostileNetworks(bench);

describe("the guest agent's answers to wrong requests", () => {
  it("name what is wrong", async () => {
    const { id } = await bench.stay(["sleep", "100"]);
    await expect(
      bench.guest.request("container.create", specOf(id, processOf(["true"]))),
    ).rejects.toMatchObject({
      code: "ContainerExists",
    });
    const unknown = "nobody";
    await expect(bench.remove(unknown)).rejects.toMatchObject({ code: "ContainerNotFound" });
    await expect(bench.guest.request("process.start", { id, execId: "x" })).rejects.toMatchObject({
      code: "ProcessNotFound",
    });
    await expect(bench.guest.request("process.start", { id, execId: "" })).rejects.toMatchObject({
      code: "IllegalTransition",
    });
    await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: true });
    await bench.guest.exit(id);
    await expect(
      bench.guest.request("process.signal", { id, execId: "", signal: 15, all: false }),
    ).rejects.toMatchObject({ code: "ProcessNotFound" });
    await expect(bench.exec(id, "true")).rejects.toMatchObject({ code: "ContainerNotRunning" });
    await bench.remove(id);
    await expect(bench.guest.peer.request("container.create", { id: 7 }).result).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    await expect(bench.guest.peer.request("sandbox.explode", {}).result).rejects.toMatchObject({
      code: "Unimplemented",
    });
    for (const bad of ["", "../x", ".", "a/b"]) {
      await expect(
        bench.guest.request("container.create", specOf(bad, processOf(["true"]))),
      ).rejects.toMatchObject({
        code: "InvalidArgument",
      });
    }
  });

  it("power the machine off, containers or not", async () => {
    await bench.stay(["sleep", "1000"]);
    await bench.guest.request("sandbox.shutdown", {});
    await bench.guest.exited;
  });
});
