/** What the lab knows of its node and its pods: configuration files, logs, processes, patience. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { commandWords } from "../../../lab/cri/commands.ts";
import { readContainerLog } from "../../../lab/cri/container-log.ts";
import { answersAt, Daemon } from "../../../lab/host/daemon.ts";
import { patientDeadlines, readPatience } from "../../../lab/host/patience.ts";
import { killProcessesOf, processesOf } from "../../../lab/host/processes.ts";
import { runProgram, runToEnd } from "../../../lab/host/program.ts";
import { until } from "../../../lab/host/until.ts";
import { blazardConfig } from "../../../lab/node/blazard-config.ts";
import { containerdConfig } from "../../../lab/node/containerd-config.ts";
import { creationSteps, podTimeline } from "../../../lab/node/pod-timeline.ts";
import { hostNetworkPod } from "../../../lab/node/pods.ts";
import { DEADLINES } from "../../../src/contracts/deadlines.ts";
import { parseConfig } from "../../../src/daemon/config/load.ts";
import { LONGEST_MS } from "../../../src/daemon/config/values.ts";
import { NamespaceMode, PodSandboxStatusResponse } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const PLACES = {
  directory: "/n",
  stateDirectory: "/n/blazar",
  scratchDirectory: "/n/scratch",
  containerdDirectory: "/n/containerd",
};

describe("the node's blazard", () => {
  it("has a configuration that blazard takes, in which the keys given win", () => {
    const given = { pool: { min: 2, max: 3 }, template: { enabled: true }, daemon: { log_level: "warn" } };
    const config = parseConfig(blazardConfig(PLACES, given), "f");
    expect(config.pool).toMatchObject({ min: 2, max: 3 });
    expect(config.template).toMatchObject({ enabled: true, directory: "/n/templates" });
    expect(config.daemon).toMatchObject({ state_directory: "/n/blazar", log_level: "warn" });
    expect(config.storage.scratch_directory).toBe("/n/scratch");
  });
});

describe("patience", () => {
  it("is as usual unless it is asked for, and refuses what is no number of times", () => {
    expect(readPatience()).toBe(1);
    expect(readPatience("10")).toBe(10);
    for (const text of ["", "0.5", "much", "1000"])
      expect(() => readPatience(text)).toThrow("BLAZAR_TEST_PATIENCE");
  });

  it("reaches every deadline of a blazard's, in a configuration that it takes", () => {
    expect(patientDeadlines(1)).toEqual({});
    const { deadlines } = parseConfig(blazardConfig(PLACES, { deadlines: patientDeadlines(10) }), "f");
    for (const [name, { ms }] of Object.entries(DEADLINES))
      expect(deadlines).toMatchObject({ [name]: Math.min(ms * 10, LONGEST_MS) });
  });
});

describe("the node's containerd", () => {
  const places = { directory: "/n", socket: "/n/state/c.sock", shimDirectory: "/shims" };
  const options = { ...places, logLevel: "info", extraConfig: undefined };

  it("has the handlers blazar and runc", () => {
    const text = containerdConfig({ ...options, logLevel: "info", blazarSocket: "/n/b.sock" });
    expect(parse(text)).toMatchObject({
      proxy_plugins: { blazar: { type: "sandbox", address: "/n/b.sock" } },
      plugins: {
        "io.containerd.cri.v1.runtime": {
          containerd: {
            runtimes: {
              blazar: { sandboxer: "blazar", runtime_path: "/shims/containerd-shim-blazar-v1" },
              runc: {},
            },
          },
        },
      },
    });
  });

  it("has no handler blazar without a blazard", () => {
    const text = containerdConfig({ ...options, logLevel: "info", blazarSocket: undefined });
    expect(text).not.toContain("blazar'");
    expect(parse(text)).not.toHaveProperty("proxy_plugins");
  });
});

describe("a pod's configuration", () => {
  it("asks for the host's network, whatever else it asks for", () => {
    const pod = hostNetworkPod("p", {
      hostname: "web",
      linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.NODE } } },
    });
    expect(pod).toMatchObject({ hostname: "web", metadata: { name: "p", uid: "uid-p" } });
    expect(pod.linux?.securityContext?.namespaceOptions).toMatchObject({
      network: NamespaceMode.NODE,
      pid: NamespaceMode.NODE,
    });
  });

  it("may ask for another network", () => {
    const namespaceOptions = { network: NamespaceMode.POD };
    const pod = hostNetworkPod("p", { linux: { securityContext: { namespaceOptions } } });
    expect(pod.linux?.securityContext?.namespaceOptions?.network).toBe(NamespaceMode.POD);
  });
});

describe("the steps of a pod's start", () => {
  it("are the states of its chart, and then each of the VMM's steps by its own time", () => {
    const states = [
      { state: "creating", ms: 3 },
      { state: "booting.cloning", ms: 20 },
    ];
    const vmm = [
      { step: "spawned", ms: 5 },
      { step: "running", ms: 12 },
    ];
    const info = {
      timeline: JSON.stringify(states),
      vmmTimeline: JSON.stringify(vmm),
      acceleration: "tcg",
    };
    const { timeline, acceleration } = podTimeline(PodSandboxStatusResponse.fromPartial({ info }));
    expect(timeline).toEqual([
      { step: "creating", ms: 3 },
      { step: "booting.cloning", ms: 20 },
      { step: "vmm: spawned", ms: 5 },
      { step: "vmm: running", ms: 7 },
    ]);
    expect(acceleration).toBe("tcg");
  });

  it("of a container are in blazard's log", async () => {
    const file = join(await temporaryDirectory(), "blazard.log");
    const line = JSON.stringify({ container: "c1", steps: { storage: 2, disk: 5 } });
    await writeFile(file, `{"msg":"c1"}\n${line}\n`);
    expect(await creationSteps(file, "c1")).toEqual([
      { step: "create: storage", ms: 2 },
      { step: "create: disk", ms: 3 },
    ]);
    expect(await creationSteps(file, "c2")).toEqual([]);
  });
});

describe("a container's log", () => {
  it("is read line by line; a missing one is empty", async () => {
    const file = join(await temporaryDirectory(), "c.log");
    expect(await readContainerLog(file)).toEqual([]);
    await writeFile(file, "2026-01-02T03:04:05Z stdout F two  words\n2026-01-02T03:04:06Z stderr P oops\n");
    expect(await readContainerLog(file)).toEqual([
      { stream: "stdout", text: "two  words" },
      { stream: "stderr", text: "oops" },
    ]);
  });
});

describe("waiting", () => {
  it("ends with the first answer", async () => {
    let asked = 0;
    const ask = async () => (++asked === 3 ? "there" : undefined);
    expect(await until("it", ask, { pollMs: 1 })).toBe("there");
  });

  it("ends by naming what has not come", async () => {
    const never = async () => undefined;
    await expect(until("a sign", never, { timeoutMs: 5, pollMs: 1 })).rejects.toThrow(
      /wait for a sign.*within 5 ms/,
    );
  });

  it("ends with the signal's reason", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(until("it", async () => undefined, { signal })).rejects.toThrow("enough");
  });
});

describe("processes", () => {
  it("are found and ended by a word of their command line", async () => {
    const mark = `blazar-lab-test-${process.pid}`;
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)", mark]);
    const exit = once(child, "exit");
    const found = await until("the child", async () => (await processesOf([mark]))[0]);
    expect(found).toMatchObject({ pid: child.pid, parent: process.pid });
    await killProcessesOf(mark);
    expect((await exit)[1]).toBe("SIGKILL");
    expect(await processesOf([mark])).toEqual([]);
  });
});

describe("a program", () => {
  const node = [process.execPath, "-e"];

  it("that has to succeed is told with what it wrote to stderr", async () => {
    expect(await runProgram(process.execPath, ["-e", "console.log('fine')"])).toBe("fine\n");
    const fails = runProgram(process.execPath, ["-e", "console.error('no luck'); process.exit(2)"]);
    await expect(fails).rejects.toThrow("no luck");
  });

  it("that is run to its end gets its input and gives its streams and code", async () => {
    const script = "process.stdin.pipe(process.stdout); console.error(process.env.A); process.exitCode = 3";
    const ended = await runToEnd([...node, script], { input: "in", env: { A: "b" } });
    expect(ended).toEqual({ code: 3, stdout: "in", stderr: "b\n" });
  });

  it("that is run to its end is ended by a signal, and then has no code", async () => {
    const abort = new AbortController();
    const mark = `blazar-lab-abort-${process.pid}`;
    const ended = runToEnd([...node, "setInterval(() => {}, 1000)", mark], { signal: abort.signal });
    await until("the child", async () => (await processesOf([mark]))[0]);
    abort.abort();
    expect((await ended).code).toBeNull();
  });

  it("that hears the signal is waited for, and has the code that it gives", async () => {
    const ready = join(await temporaryDirectory(), "ready");
    const script =
      "process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000);" +
      "require('fs').writeFileSync(process.argv[1], '')";
    const abort = new AbortController();
    const ended = runToEnd([...node, script, ready], { signal: abort.signal });
    await until("the child's handler", async () => (existsSync(ready) ? true : undefined));
    abort.abort();
    expect((await ended).code).toBe(7);
  });

  it("that is not there is told", async () => {
    await expect(runToEnd(["/no/such/program"])).rejects.toThrow(/ENOENT/);
  });
});

describe("a daemon", () => {
  const options = { name: "d", readyTimeoutMs: 5_000, stopTimeoutMs: 200, program: process.execPath };
  const serve = "require('net').createServer().listen(process.argv[1])";

  it("is started until it answers, and stopped", async () => {
    const directory = await temporaryDirectory();
    const socket = join(directory, "s");
    const files = { logFile: join(directory, "log"), ready: () => answersAt(socket) };
    const daemon = await Daemon.start({ ...options, ...files, args: ["-e", serve, socket] });
    expect(daemon.running).toBe(true);
    await daemon.stop();
    expect(daemon.running).toBe(false);
    expect(await answersAt(socket)).toBe(false);
  });

  it("that does not hear SIGTERM is killed", async () => {
    const directory = await temporaryDirectory();
    const socket = join(directory, "s");
    const files = { logFile: join(directory, "log"), ready: () => answersAt(socket) };
    const deaf = `process.on('SIGTERM', () => {}); ${serve}`;
    const daemon = await Daemon.start({ ...options, ...files, args: ["-e", deaf, socket] });
    await daemon.stop();
    expect(daemon.running).toBe(false);
  });

  it("that ends at once is told with the end of its log", async () => {
    const directory = await temporaryDirectory();
    const files = { logFile: join(directory, "log"), ready: async () => false };
    const args = ["-e", "console.log('no luck'); process.exit(3)"];
    await expect(Daemon.start({ ...options, ...files, args })).rejects.toThrow(/status 3.*no luck/s);
  });
});

describe("a command", () => {
  it("that is a string is a shell's", () => {
    expect(commandWords("echo $A")).toEqual(["sh", "-c", "echo $A"]);
    expect(commandWords(["uname", "-r"])).toEqual(["uname", "-r"]);
  });
});
