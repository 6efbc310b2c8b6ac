/** Pods in microVMs through the real containerd, as kubelet would ask for them. */
import { execFile } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { allProcesses, descendants, processesOf } from "../../lab/host/processes.ts";
import { until } from "../../lab/host/until.ts";
import { NamespaceMode, PodSandboxState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { TestNode, type TestPod } from "../support/e2e/node.ts";
import { blazarProgram, built } from "../support/e2e/program.ts";
import { numberedLayers, testImage, withLayers } from "../support/oci-image.ts";

const runFile = promisify(execFile);
let node: TestNode;

/** Pids of a pod's file server, its supervisor first: they have the user of the VMM. */
async function fileServers(pod: TestPod): Promise<number[]> {
  const user = async (pid: number) => (await stat(`/proc/${pid}`).catch(() => undefined))?.uid;
  const wanted = await user(await node.vmmPid(pod));
  const keepers = await processesOf([join(node.node.stateDirectory, "keeper.sock")]);
  const roots = keepers.map(({ pid }) => pid);
  const found: number[] = [];
  for (const { pid, command } of descendants(await allProcesses(), roots))
    if (command.includes("--root /share") && (await user(pid)) === wanted) found.push(pid);
  return found;
}

/** Pids of the node's VMMs. */
async function vmms(): Promise<number[]> {
  const found = await processesOf([join(node.node.stateDirectory, "vm")]);
  return found.filter(({ command }) => command.includes("-M microvm")).map(({ pid }) => pid);
}

beforeAll(async () => {
  node = await TestNode.start();
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

describe("a pod", () => {
  it("runs two containers in one microVM, with logs, exec and a terminal", async () => {
    const pod = await node.runPod({ config: { hostname: "web-0" } });
    const one = await node.startContainer(pod, "echo kernel $(uname -r); echo oops >&2; exec sleep 1000");
    const two = await node.startContainer(pod, "exec sleep 1000");

    const line = await node.waitForLog(one, "kernel");
    expect(line.stream).toBe("stdout");
    expect(line.text).toMatch(/^kernel 6\.1\./);
    expect((await node.waitForLog(one, "oops")).stream).toBe("stderr");

    const bootId = "cat /proc/sys/kernel/random/boot_id";
    const [first, second] = [await node.exec(one, bootId), await node.exec(two, bootId)];
    expect(first.stdout).toBe(second.stdout);
    expect(first.stdout).not.toBe(await readFile("/proc/sys/kernel/random/boot_id", "utf8"));

    expect(await node.exec(one, "echo out; echo err >&2; exit 42")).toEqual({
      code: 42,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect((await node.exec(one, "hostname; cat /etc/hostname")).stdout).toBe("web-0\nweb-0\n");

    const shell = await node.typeInto(one, "tty; exit 3\n");
    expect(shell).toMatchObject({ code: 3, stdout: expect.stringContaining("/dev/pts/") });
  });

  it("gives its containers hosts and resolv.conf", async () => {
    const pod = await node.runPod({
      config: {
        hostname: "db-1",
        dnsConfig: { servers: ["192.0.2.53"], searches: ["a.example"], options: ["ndots:5"] },
      },
    });
    const container = await node.startContainer(pod, "exec sleep 1000");
    expect((await node.exec(container, "cat /etc/resolv.conf")).stdout).toBe(
      "search a.example\nnameserver 192.0.2.53\noptions ndots:5\n",
    );
    expect((await node.exec(container, "cat /etc/hosts")).stdout).toMatch(
      /^127\.0\.0\.1\s+localhost$[\s\S]*db-1/m,
    );
  });

  it("shares its PID namespace between containers where it is asked to", async () => {
    const shared = { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } };
    const pod = await node.runPod({ config: shared });
    const one = await node.startContainer(pod, "exec sleep 1111", shared);
    const two = await node.startContainer(pod, "exec sleep 2222", shared);
    const seen = (await node.exec(two, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).stdout;
    expect(seen).toContain("sleep 1111");
    expect(seen).toContain("sleep 2222");
    expect((await node.exec(one, "echo $$")).stdout).not.toBe("1\n");
  });

  it("keeps the writes of two containers of one image apart, and off the image", async () => {
    const pod = await node.runPod();
    const [one, two] = [
      await node.startContainer(pod, "exec sleep 1000"),
      await node.startContainer(pod, "exec sleep 1000"),
    ];
    await node.exec(one, "echo one > /etc/passwd; echo one > /own; rm /bin/true; mkfifo /fifo");
    await node.exec(two, "echo two > /etc/group; echo two > /own");
    expect(
      (
        await node.exec(
          one,
          "cat /own /etc/passwd; test -e /bin/true || echo gone; test -p /fifo && echo fifo",
        )
      ).stdout,
    ).toBe("one\none\ngone\nfifo\n");
    expect(
      (await node.exec(two, "cat /own; head -1 /etc/passwd; test -e /bin/true && echo there")).stdout,
    ).toMatch(/^two\nroot:.*\nthere\n$/);
    const three = await node.startContainer(pod, "exec sleep 1000");
    expect((await node.exec(three, "test -e /own || echo clean")).stdout).toBe("clean\n");
  });

  it("has a VMM that is nobody: a user of its own, no capability, no new privileges", async () => {
    const pod = await node.runPod();
    const status = await readFile(`/proc/${await node.vmmPid(pod)}/status`, "utf8");
    const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1];
    expect(Number(field("Uid")?.split("\t")[0])).toBeGreaterThanOrEqual(1_900_000_000);
    expect([field("CapEff"), field("CapPrm"), field("CapBnd")].map((mask) => BigInt(`0x${mask}`))).toEqual([
      0n,
      0n,
      0n,
    ]);
    expect(field("NoNewPrivs")).toBe("1");
    expect(field("Seccomp")).toBe("2");
  });

  it("passes megabytes of output on, every byte", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "exec sleep 1000");
    const big = await node.exec(container, "head -c 3000000 /dev/zero | tr '\\0' 'x'");
    expect(big.stdout.length).toBe(3_000_000);
  });
});

describe("a container", () => {
  it("that exits by itself is reported with its code, and its last line is in the log", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "echo last words; exit 5");
    expect(await node.waitForExit(container)).toMatchObject({ exitCode: 5, reason: "Error" });
    expect((await node.waitForLog(container, "last words")).text).toBe("last words");
    await node.cri.removeContainer(container.id);
  });

  it("is stopped by its signal, or killed after the grace period", async () => {
    const pod = await node.runPod();
    const polite = await node.startContainer(pod, "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done");
    const deaf = await node.startContainer(pod, "trap '' TERM; echo up; while :; do sleep 0.1; done");
    await Promise.all([node.waitForLog(polite, "up"), node.waitForLog(deaf, "up")]);
    await Promise.all([node.cri.stopContainer(polite.id, 30), node.cri.stopContainer(deaf.id, 1)]);
    expect(await node.waitForExit(polite)).toMatchObject({ exitCode: 9 });
    expect(await node.waitForExit(deaf)).toMatchObject({ exitCode: 137 });
  });

  it("without its program fails to start, by name, and leaves the pod usable", async () => {
    const pod = await node.runPod();
    await expect(node.startContainer(pod, ["/no/such/program"])).rejects.toThrow(
      /\/no\/such\/program.*no such file/i,
    );
    const container = await node.startContainer(pod, "echo fine; exec sleep 1000");
    await node.waitForLog(container, "fine");
    await expect(node.exec(container, ["/neither"])).rejects.toThrow(/\/neither.*no such file/i);
  });

  it("can be made again after another was removed, on the same pod, and leaves its neighbours alone", async () => {
    const pod = await node.runPod();
    const neighbour = await node.startContainer(pod, "exec sleep 1000");
    for (const word of ["first", "second", "third"]) {
      const container = await node.startContainer(pod, `echo ${word}`);
      await node.waitForExit(container);
      await node.waitForLog(container, word);
      await node.cri.removeContainer(container.id);
      expect((await node.exec(neighbour, "ls /bin | wc -l; /bin/busybox true && echo works")).stdout).toMatch(
        /\d{3}\nworks/,
      );
    }
  });
});

describe("an image", () => {
  it("with sixty layers shows the topmost file of each name, and all files", async () => {
    const name = "localhost/blazar/layers:latest";
    const image = withLayers(await testImage(built().busybox.binary, name), name, ...numberedLayers(60));
    await node.node.containerd.importImage(image);
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "cat /top; ls /layers | wc -l; exec sleep 1000", {
      image: { image: name },
    });
    await node.waitForLog(container, "60");
    expect((await node.readLog(container)).map(({ text }) => text)).toEqual(["59", "60"]);
  });
});

describe("a node", () => {
  it("starts ten pods at once", async () => {
    const pods = await Promise.all(Array.from({ length: 10 }, () => node.runPod()));
    const containers = await Promise.all(
      pods.map((pod, index) => node.startContainer(pod, `echo pod ${index}; exec sleep 1000`)),
    );
    for (const [index, container] of containers.entries()) await node.waitForLog(container, `pod ${index}`);
  }, 300_000);

  it("shows a pod whose VMM was killed as NOTREADY and its containers as exited with 137", async () => {
    const pod = await node.runPod();
    const other = await node.runPod();
    const container = await node.startContainer(pod, "exec sleep 1000");
    const untouched = await node.startContainer(other, "exec sleep 1000");
    process.kill(await node.vmmPid(pod), "SIGKILL");
    expect(await node.waitForExit(container)).toMatchObject({ exitCode: 137 });
    await until("NOTREADY", async () => {
      const { status } = await node.cri.podSandboxStatus(pod.id);
      return status?.state === PodSandboxState.SANDBOX_NOTREADY ? true : undefined;
    });
    expect((await node.exec(untouched, "echo alive")).stdout).toBe("alive\n");
    await node.removePod(pod);
  });

  it("keeps its pods when containerd is restarted", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(
      pod,
      "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done",
    );
    const ended = await node.startContainer(pod, "sleep 3; exit 6");
    await node.waitForLog(container, "line 2");
    await node.node.containerd.restart({ kill: true });
    expect((await node.exec(container, "echo still here")).stdout).toBe("still here\n");
    expect(await node.waitForExit(ended)).toMatchObject({ exitCode: 6 });
    const before = (await node.readLog(container)).length;
    await until("more lines", async () =>
      (await node.readLog(container)).length > before ? true : undefined,
    );
    const numbers = (await node.readLog(container)).map(({ text }) => Number(text.split(" ")[1]));
    expect(numbers).toEqual(numbers.map((_, index) => index));
  });

  it("refuses a pod with a network of its own, and says why", async () => {
    const config = { linux: { securityContext: { namespaceOptions: { network: NamespaceMode.POD } } } };
    await expect(node.runPod({ config })).rejects.toThrow(/hostNetwork|cni|network/i);
  });
});

describe("blazard", () => {
  it("starts another file server for the next container when one has died, and tells of it", async () => {
    await node.node.restartBlazard({ config: { image: { enabled: false } } });
    const pod = await node.runPod();
    const one = await node.startContainer(pod, "exec sleep 1000");
    const before = await fileServers(pod);
    // the first is the parent of the other, and init of the jail
    process.kill(before[0] ?? Number.NaN, "SIGKILL");
    const two = await node.startContainer(pod, "exec sleep 1000");
    expect((await node.exec(two, "ls /bin/busybox")).stdout).toBe("/bin/busybox\n");
    // the files are gone, the container is not
    expect((await node.exec(one, "true").catch(() => ({ code: -1 }))).code).not.toBe(0);
    const after = await fileServers(pod);
    expect(after).toHaveLength(before.length);
    expect(after.filter((pid) => before.includes(pid))).toEqual([]);
    const told = async () =>
      (await readFile(node.node.blazardLog, "utf8")).includes("has died") ? true : undefined;
    await until("blazard to tell", told);
    await node.removePod(pod);
    await node.node.restartBlazard({ config: {} });
  });

  it("is refused a state directory that another one serves, and touches nothing there", async () => {
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "exec sleep 1000");
    const config = join(dirname(node.node.stateDirectory), "blazar.toml");
    const second = runFile(process.execPath, [blazarProgram(), "serve", "--config", config]);
    const refused = await second.then(
      () => undefined,
      (error: unknown) => error,
    );
    const stderr = expect.stringMatching(
      /cannot serve from the state directory.*process \d+ does so already/,
    );
    expect(refused).toMatchObject({ code: 70, stderr });
    expect((await node.exec(container, "echo still here")).stdout).toBe("still here\n");
    expect((await node.cri.podSandboxStatus(pod.id)).status?.state).toBe(PodSandboxState.SANDBOX_READY);
    await node.removePod(pod);
  });

  it("undoes what a blazard that was killed had begun, and starts pods again", async () => {
    const known = await vmms();
    const begun = node.runPod().then(
      () => "started",
      () => "failed",
    );
    const vmm = await until("a VMM", async () => (await vmms()).find((pid) => !known.includes(pid)));
    await node.node.restartBlazard({ kill: true });
    expect(await begun).toBe("failed");
    expect(await vmms()).not.toContain(vmm);
    const { stateDirectory } = node.node;
    const kept = ["sandboxes", "journals", "journals/copies", "vm"].map((name) =>
      readdir(join(stateDirectory, name)),
    );
    expect((await Promise.all(kept)).flat()).toEqual(["copies"]);
    const again = await node.runPod();
    const container = await node.startContainer(again, "echo back; exec sleep 1000");
    await node.waitForLog(container, "back");
  });
});
