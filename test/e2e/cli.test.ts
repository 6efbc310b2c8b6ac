/** What operators do with a pod of a real containerd by `blazar`, as child processes. */
import { execFile, spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/host/until.ts";
import { TestNode, type TestPod } from "../support/e2e/node.ts";
import { blazarProgram } from "../support/e2e/program.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

interface Done {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let node: TestNode;
let pod: TestPod;

beforeAll(async () => {
  node = await TestNode.start();
  pod = await node.runPod();
  await node.startContainer(pod, "echo from the container; exec sleep 1000");
});

afterAll(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
  await node.stop();
});

function environment() {
  return { ...process.env, BLAZAR_ADDRESS: join(node.node.stateDirectory, "inspection.sock"), NO_COLOR: "1" };
}

function blazar(...words: string[]): Promise<Done> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [blazarProgram(), ...words],
      { env: environment() },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

/** By the beginning of its id. */
const short = () => pod.id.slice(0, 10);

describe("an operator", () => {
  it("finds the pod, and why it is as it is", async () => {
    expect((await blazar("ps")).stdout).toContain(`${pod.id.slice(0, 12)}  `);
    expect((await blazar("why", short())).stdout).toContain("ready.running");
    const { stdout } = await blazar("inspect", short(), "-o", "json");
    expect(JSON.parse(stdout).summary).toMatchObject({ id: pod.id, state: "ready.running", containers: 1 });
  });

  it("sees where its time went, and what it uses", async () => {
    const timeline = (await blazar("timeline", short())).stdout;
    for (const step of ["Controller.Create", "Controller.Start", "Task.Create", "→ ready.running"])
      expect(timeline).toContain(step);
    expect((await blazar("events", short())).stdout).toContain("Task.Start");
    const top = (await blazar("top", "--once")).stdout;
    expect(top).toMatch(new RegExp(`^${pod.id.slice(0, 12)} .*ready\\.running +\\S+ +[\\d.]+% +\\d+Mi`, "m"));
  });

  it("reads the logs of its VM and of its guest", async () => {
    expect((await blazar("logs", "--console", short())).code).toBe(0);
    expect((await blazar("logs", "--vmm", short())).code).toBe(0);
    expect((await blazar("logs", "--agent", short())).code).toBe(0);
  });

  it("runs commands in the guest itself, with their status and streams", async () => {
    const kernel = await blazar("exec", short(), "--", "sh", "-c", "uname -s; echo problem >&2; exit 9");
    expect(kernel).toEqual({ code: 9, stdout: "Linux\n", stderr: "problem\n" });
    expect((await blazar("exec", short(), "--", "ps")).stdout).toContain("sleep 1000");
    const missing = await blazar("exec", short(), "--", "no-such-program");
    expect(missing.code).toBe(70);
    expect(missing.stderr).toContain("no-such-program");
  });

  it("has a shell there, on a terminal", async () => {
    const line = `${process.execPath} ${blazarProgram()} exec -it ${short()}`;
    const shell = spawn("script", ["-qec", `stty rows 33 cols 77; ${line}`, "/dev/null"], {
      env: environment(),
    });
    let text = "";
    shell.stdout.on("data", (bytes: Buffer) => {
      text += bytes.toString();
    });
    await until("the prompt", async () => (text.includes("guest:/#") ? true : undefined));
    shell.stdin.write("stty size; exit 6\r");
    const code = await new Promise((resolve) => shell.on("exit", resolve));
    expect(text).toContain("33 77");
    expect(code).toBe(6);
  });

  it("passes input on, as much as there is", async () => {
    const words = [blazarProgram(), "exec", "-i", short(), "--", "md5sum"];
    const child = spawn(process.execPath, words, { env: environment() });
    let text = "";
    child.stdout.on("data", (bytes: Buffer) => {
      text += bytes.toString();
    });
    child.stdin.end(Buffer.alloc(1 << 20));
    expect(await new Promise((resolve) => child.on("exit", resolve))).toBe(0);
    expect(text).toMatch(/^b6d81b360a5672d80c27430f39153e2c /);
  });

  it("takes what it runs along when it goes", async () => {
    const words = [blazarProgram(), "exec", short(), "--", "sleep", "4711"];
    const child = spawn(process.execPath, words, { env: environment() });
    const running = async () => (await blazar("exec", short(), "--", "ps")).stdout.includes("sleep 4711");
    await until("the command", async () => ((await running()) ? true : undefined));
    child.kill("SIGKILL");
    await until("its end", async () => ((await running()) ? undefined : true));
  });

  it("gives away a bundle, and steps through it", async () => {
    const file = join(await temporaryDirectory(), "bundle.tar");
    const written = await blazar("bundle", short(), "--file", file);
    expect(written).toEqual({ code: 0, stdout: `${file}\n`, stderr: "" });
    const { stdout } = await blazar("replay", "--json", file);
    const states = new Set(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).state),
    );
    for (const state of ["creating", "created", "ready.running"]) expect([...states]).toContain(state);
  });

  it("draws a chart with the state that the pod is in", async () => {
    const { stdout, stderr } = await blazar("graph", short());
    expect(stderr).toBe("");
    expect(stdout).toContain("class ready_running active");
  });

  it("has the node examined, with the configuration that it has", async () => {
    const { stdout } = await blazar("doctor", "-o", "json", "--address", environment().BLAZAR_ADDRESS);
    const { findings } = JSON.parse(stdout) as {
      readonly findings: { readonly name: string; readonly verdict: string }[];
    };
    expect(findings.filter(({ name }) => name === "daemon")[0]).toMatchObject({ verdict: "ok" });
    const broken = join(await temporaryDirectory(), "broken.toml");
    await writeFile(broken, "[daemon]\nstate_dir = '/x'\n");
    const { code, stdout: text } = await blazar("doctor", "--config", broken);
    expect(code).toBe(1);
    expect(text).toContain("daemon.state_dir");
  });

  it("is told what is wrong with a command line, by exit codes as well", async () => {
    expect((await blazar("why", "nobody")).code).toBe(70);
    expect((await blazar("why")).code).toBe(64);
    expect((await blazar("ps", "-o", "xml")).code).toBe(64);
    expect((await blazar("events", "--last", "many")).code).toBe(64);
    expect((await blazar("logs", "nobody", "--vmm", "--agent")).code).toBe(64);
    const away = await blazar("ps", "--address", "/nowhere.sock");
    expect(away).toMatchObject({ code: 70, stdout: "" });
    expect(away.stderr).toContain("/nowhere.sock");
  });
});
