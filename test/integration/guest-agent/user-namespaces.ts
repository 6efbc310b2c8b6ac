/** Namespaces of a container's own, and of a pod whose users are not the guest's. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ContainerCreate } from "../../../src/protocol/guest/messages.ts";
import { type AgentBench, LAYERS, processOf, specOf, WAYS } from "../../support/bench/agent.ts";
import { sandboxSetup } from "../../support/guest-requests.ts";

const ids = [{ containerId: 0, hostId: 300_000, size: 65_536 }];
const MAPS = { uids: ids, gids: ids };
/** The builtin root belongs to the guest's root, so nothing in it may be changed. */
const MAPPED: Partial<ContainerCreate> = { userNamespace: MAPS };
const SETUP = { hostname: "pod-1", shmBytes: 1 << 20 };

export function describeOwnNamespaces(bench: AgentBench): void {
  describe.each(WAYS)("a container's own namespaces, %s,", (_way, way) => {
    beforeAll(() => {
      bench.prepares = way;
    });

    const own: Partial<ContainerCreate> = { ownNamespaces: ["ipc", "uts", "network"], hostname: "inner" };
    const SHOW = "for name in ipc uts net; do readlink /proc/self/ns/$name; done; hostname";

    it("are new, in its execs, too, and the pod's names stay", async () => {
      const { id } = await bench.stay(["sleep", "100"], own);
      const inside = (await bench.exec(id, SHOW)).stdout.trim().split("\n");
      const outside = (await bench.run(SHOW)).stdout.trim().split("\n");
      expect(inside).toHaveLength(4);
      expect(outside[3]).toBe("pod-1");
      expect(inside[3]).toBe("inner");
      for (const at of [0, 1, 2]) expect(inside[at]).not.toBe(outside[at]);
      expect((await bench.exec(id, "hostname changed; hostname")).stdout).toBe("changed\n");
      expect((await bench.run("hostname")).stdout).toBe("pod-1\n");
      await bench.remove(id);
    });

    it("keep message queues and interfaces apart", async () => {
      const { id } = await bench.stay(["sh", "-c", "touch /dev/mqueue/mine; exec sleep 100"], own);
      expect((await bench.exec(id, "ls /dev/mqueue; ls /sys/class/net")).stdout).toBe("mine\nlo\n");
      expect((await bench.run("ls /dev/mqueue")).stdout).toBe("");
      await bench.remove(id);
    });
  });
}

export function describeUserNamespaces(bench: AgentBench): void {
  describe("a pod's user namespace", () => {
    beforeAll(async () => {
      const setup = sandboxSetup({ ...SETUP, sharedPidNamespace: true, userNamespace: MAPS });
      await bench.guest.request("sandbox.setup", setup);
    });
    afterAll(async () => {
      await bench.guest.request("sandbox.setup", sandboxSetup({ ...SETUP, sharedPidNamespace: true }));
    });

    describe.each(WAYS)("%s,", (_way, way) => {
      beforeAll(() => {
        bench.prepares = way;
      });

      it("has the spec's maps, and is one for all containers and their execs", async () => {
        const script = "cat /proc/self/uid_map; readlink /proc/self/ns/user /proc/self/ns/ipc; id -u";
        const { id } = await bench.stay(["sleep", "100"], MAPPED);
        const [inExec, inOther] = [await bench.exec(id, script), await bench.run(script, MAPPED)];
        expect(inExec.stdout).toMatch(/^\s+0\s+300000\s+65536\n/);
        expect(inOther.stdout).toBe(inExec.stdout);
        await bench.remove(id);
      });

      it("gives root its capabilities inside and none outside", async () => {
        const script =
          "mount -t tmpfs t /tmp && echo mounted; hostname x && hostname; mknod /tmp/n c 1 3 2>&1; date -s 2020-01-01 2>&1 | head -1; echo x > /dev/null && stat -c %u /dev/null /proc/1/stat";
        const { stdout } = await bench.run(script, MAPPED, { noNewPrivileges: false });
        expect(stdout).toBe(
          "mounted\nx\nmknod: /tmp/n: Operation not permitted\ndate: can't set date: Operation not permitted\n65534\n0\n",
        );
        await bench.guest.request(
          "sandbox.setup",
          sandboxSetup({ ...SETUP, sharedPidNamespace: true, userNamespace: MAPS }),
        );
      });

      it("makes devices of the spec by binding them", async () => {
        const device = {
          path: "/dev/fuse",
          type: "c",
          major: 10,
          minor: 229,
          mode: 0o666,
          uid: 0,
          gid: 0,
        } as const;
        const { stdout } = await bench.run("stat -c '%F %t:%T' /dev/fuse", { ...MAPPED, devices: [device] });
        expect(stdout).toBe("character special file a:e5\n");
      });

      it("has a PID namespace of the pod's, whose processes it may signal", async () => {
        const shared = { ...MAPPED, pidNamespace: "sandbox" } as const;
        const { id } = await bench.stay(["sleep", "6789"], shared);
        const { stdout } = await bench.run("kill -9 $(pidof sleep) && echo killed", shared);
        expect(stdout).toBe("killed\n");
        expect((await bench.guest.exit(id)).status).toBe(137);
        await bench.remove(id);
      });

      it("names a user that is not mapped, and maps that are not the pod's", async () => {
        await expect(
          bench.create(specOf("bad", processOf(["true"], { uid: 70_000 }), MAPPED)),
        ).rejects.toMatchObject({
          code: "InvalidSpec",
          details: { subject: "process.user.uid" },
        });
        const other = { ...MAPS, uids: [{ containerId: 0, hostId: 1, size: 5 }] };
        const wrong = specOf("bad", processOf(["true"]), { userNamespace: other });
        await expect(bench.create(wrong)).rejects.toThrow("a user namespace with other maps");
        const unmappable = specOf("bad", processOf(["true"]), {
          ...MAPPED,
          rootfs: LAYERS,
          idmappedLayers: true,
        });
        await expect(bench.create(unmappable)).rejects.toMatchObject({ code: "MountFailed" });
      });
    });
  });
}
