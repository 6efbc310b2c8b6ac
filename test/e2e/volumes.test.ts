/** Volumes through the real containerd: a pod like kubelet's, from its start to its end, and after the daemon's death. */
import { chmod, chown, mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { mountsBelow } from "../../lab/host/mounts.ts";
import { until } from "../../lab/host/until.ts";
import { PodDirectory } from "../../lab/kubelet/pod-directory.ts";
import { NamespaceMode } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { type ContainerConfig, TestNode } from "../support/e2e/node.ts";

let node: TestNode;
let kubelet: PodDirectory;

beforeAll(async () => {
  node = await TestNode.start();
});

beforeEach(async () => {
  kubelet = await PodDirectory.make();
});

afterEach(async () => {
  await node.stopAll();
  await kubelet.remove();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

const bind = (hostPath: string, containerPath: string, readonly = false) => ({
  hostPath,
  containerPath,
  readonly,
});

/** Ends the first process, but not before the exec itself has ended: the container's end would kill it. */
const END_SOON = "(sleep 1; touch /memory/end) > /dev/null 2>&1 &";

describe("a pod as a kubelet makes it", () => {
  it("has its volumes: copies that follow, memory that stays, the host's own files; and leaves none of them", async () => {
    const config = await kubelet.projected("configmap", "config", { key: "first" });
    const log = await kubelet.terminationLog("main");
    const memory = await kubelet.emptyDir("memory", 1 << 20);
    const disk = await kubelet.emptyDir("disk");
    const more: ContainerConfig = {
      mounts: [
        bind(config.directory, "/config", true),
        bind(log, "/dev/termination-log"),
        bind(await kubelet.hostsFile("10.1.2.3 foo.remote\n"), "/etc/hosts"),
        bind(memory, "/memory"),
        bind(disk, "/disk"),
      ],
    };
    const pod = await node.runPod();
    const init = await node.startContainer(pod, "echo init > /memory/note; echo init > /disk/note", more);
    expect((await node.waitForExit(init)).exitCode).toBe(0);
    const script =
      "echo up; until [ -e /memory/end ]; do sleep 0.1; done; echo bye > /dev/termination-log; exit 7";
    const main = await node.startContainer(pod, script, more);
    await node.waitForLog(main, "up");
    const seen = await node.exec(main, "cat /config/key /memory/note /disk/note; grep foo /etc/hosts");
    expect(seen.stdout).toBe("firstinit\ninit\n10.1.2.3 foo.remote\n");
    await config.write({ key: "second" });
    await until("the new content", async () =>
      (await node.exec(main, "cat /config/key")).stdout === "second" ? true : undefined,
    );
    await node.exec(main, `echo main >> /disk/note; ${END_SOON}`);
    expect((await node.waitForExit(main)).exitCode).toBe(7);
    expect(await readFile(log, "utf8")).toBe("bye\n");
    expect(await readFile(join(disk, "note"), "utf8")).toBe("init\nmain\n");
    await node.cri.removeContainer(init.id);
    await node.cri.removeContainer(main.id);
    expect((await mountsBelow(node.node.directory)).filter((point) => /volumes\/v/.test(point))).toEqual([]);
  });

  it("has them inside of its user namespace, each as what it is on the host", async () => {
    const ids = [{ containerId: 0, hostId: 400_000, length: 65_536 }];
    const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
    const linux = { securityContext: { namespaceOptions: { usernsOptions } } };
    const maps = { uidMappings: ids, gidMappings: ids };
    const token = await kubelet.projected(
      "projected",
      "kube-api-access-abcde",
      { token: "t" },
      { group: 7, mode: 0o640 },
    );
    const disk = await kubelet.emptyDir("disk");
    await writeFile(join(disk, "closed"), "closed", { mode: 0o600 });
    await chown(join(disk, "closed"), 1000, 1000);
    const log = await kubelet.terminationLog("main");
    const mounts = [
      bind(token.directory, "/token", true),
      bind(await kubelet.emptyDir("memory", 1 << 20), "/memory"),
      bind(log, "/dev/termination-log"),
      bind(disk, "/disk"),
    ].map((mount) => ({ ...mount, ...maps }));
    const pod = await node.runPod({ config: { linux } });
    const wait = "until [ -e /memory/end ]; do sleep 0.1; done; echo bye > /dev/termination-log";
    const main = await node.startContainer(pod, wait, { linux, mounts });
    const shown = await node.exec(
      main,
      "stat -L -c '%u:%g %a' /token/token /memory /dev/termination-log /disk /disk/closed; cat /disk/closed",
    );
    expect(shown.stdout).toBe("0:7 640\n0:0 777\n0:0 666\n0:0 777\n1000:1000 600\nclosed");
    const made = await node.exec(
      main,
      "cd /disk && touch mine /memory/mine && chown 5:6 mine && stat -c %u:%g mine /memory/mine",
    );
    expect(made.stdout).toBe("5:6\n0:0\n");
    await node.exec(main, END_SOON);
    expect((await node.waitForExit(main)).exitCode).toBe(0);
    expect(await stat(join(disk, "mine"))).toMatchObject({ uid: 5, gid: 6 });
    expect(await readFile(log, "utf8")).toBe("bye\n");
  });

  it("says which mount point cannot be made, and blames nothing else for it", async () => {
    const directory = await kubelet.elsewhere("data");
    const pod = await node.runPod();
    for (const [place, why] of [
      ["/sys/x", "Read-only file system"],
      [`/${"n".repeat(256)}`, "Filename too long"],
    ] as const) {
      const refused = node.startContainer(pod, "true", { mounts: [bind(directory, place)] });
      await expect(refused).rejects.toThrow(`cannot make a mount point in the container (${place}): ${why}`);
    }
    const inProc = node.startContainer(pod, "true", { mounts: [bind(directory, "/proc/1/root/x")] });
    await expect(inProc).rejects.toThrow(
      `"/proc/1/root/x" is in /proc, where only what the kernel says counts`,
    );
    expect(await readFile(node.node.blazardLog, "utf8")).not.toContain("an image cannot be used");
  });

  it("keeps its volumes when its daemon dies, and leaves no process, mount or file of the host's", async () => {
    const directory = await kubelet.elsewhere("data");
    const config = await kubelet.projected("configmap", "config", { key: "1" });
    const more: ContainerConfig = {
      mounts: [
        bind(directory, "/d"),
        bind(await kubelet.emptyDir("disk"), "/disk"),
        bind(config.directory, "/config", true),
      ],
    };
    const volumes = async () =>
      (await mountsBelow(node.node.directory)).filter((at) => /volumes\/v/.test(at));
    const pod = await node.runPod();
    const main = await node.startContainer(
      pod,
      "echo up; exec 3> /d/open; while :; do echo x >&3; echo x > /disk/y; sleep 0.01; done",
      more,
    );
    await node.waitForLog(main, "up");
    expect((await volumes()).length).toBe(2);
    await node.node.restartBlazard({ kill: true });
    expect((await volumes()).length).toBe(2);
    const written = (await stat(join(directory, "open"))).size;
    await until("more of what it writes", async () =>
      (await stat(join(directory, "open"))).size > written + 20 ? true : undefined,
    );
    await node.stopAll();
    expect(await volumes()).toEqual([]);
    expect(await readdir(directory)).toEqual(["open"]);
    // nobody holds them any more, and the next pod has them
    await rename(directory, `${directory}.moved`);
    await rename(`${directory}.moved`, directory);
    const next = await node.startContainer(
      await node.runPod(),
      "wc -l < /d/open; rm /d/open; cat /config/key",
      more,
    );
    expect((await node.waitForExit(next)).exitCode).toBe(0);
    expect(await readdir(directory)).toEqual([]);
  });

  it("is refused by name for what a VM cannot have, and its other volumes are let go", async () => {
    const directory = await kubelet.elsewhere("sockets");
    const server = createServer().listen(join(directory, "s"));
    const pod = await node.runPod();
    const mounts = [bind(directory, "/d"), bind(join(directory, "s"), "/run/s")];
    const refused = node.startContainer(pod, "true", { mounts });
    await expect(refused).rejects.toThrow(
      /cannot mount a volume \(mounts\[\d+\]: \S+\/s at \/run\/s\): it is a socket, and nothing in a VM can connect/,
    );
    server.close();
    expect((await mountsBelow(node.node.directory)).filter((point) => /volumes\/v/.test(point))).toEqual([]);
    const next = await node.startContainer(pod, "echo next; exec sleep 1000");
    await node.waitForLog(next, "next");
  });

  it("has files of the host with the rights of its user, and can write nothing that is read-only", async () => {
    const directory = await kubelet.elsewhere("data");
    await mkdir(join(directory, "open"));
    await chmod(join(directory, "open"), 0o777);
    await writeFile(join(directory, "closed"), "closed", { mode: 0o600 });
    const pod = await node.runPod();
    const main = await node.startContainer(pod, "exec sleep 1000", {
      linux: { securityContext: { runAsUser: { value: 1234n } } },
      mounts: [bind(directory, "/rw"), bind(directory, "/ro", true)],
    });
    const script =
      "cat /rw/closed; echo x > /rw/open/mine; echo x > /ro/open/other; echo x > /rw/closed; ls /ro/open";
    const { stdout, stderr } = await node.exec(main, script);
    expect(stdout).toBe("mine\n");
    expect(stderr.match(/Permission denied/g)).toHaveLength(2);
    expect(stderr.match(/Read-only file system/g)).toHaveLength(1);
    expect((await stat(join(directory, "open/mine"))).uid).toBe(1234);
  });
});
