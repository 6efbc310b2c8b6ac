/**
 * The demo's main scene: a hostNetwork pod with two containers in one microVM, through CRI, as kubelet would do it.
 *
 * Every claim on the screen is checked. A guest with the host's kernel, a wrong exit code or a line missing in the
 * log is a failure. The node is private and is gone at the end.
 */
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import type { Artifacts } from "../../setup/steps/artifacts.ts";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import type { CriClient } from "../cri/client.ts";
import { execText, typeIntoShell } from "../cri/commands.ts";
import { type LogLine, readContainerLog } from "../cri/container-log.ts";
import { until } from "../host/until.ts";
import { busyboxImage } from "../images/busybox.ts";
import { nodeLeftovers, podLeftovers } from "../node/leftovers.ts";
import { servePage } from "../node/page.ts";
import { creationSteps, podTimeline } from "../node/pod-timeline.ts";
import { hostNetworkPod } from "../node/pods.ts";
import { PrivateNode } from "../node/private-node.ts";
import type { Report } from "./report.ts";

const IMAGE = "localhost/blazar/demo:latest";
const LOG_PATIENCE = { timeoutMs: 30_000, pollMs: 10 };
const TERMINAL_SIZE = [100, 30] as const;
const EXEC_CODE = 7;
const SHELL_CODE = 3;

const GREETER =
  "echo \"hello from a microVM: Linux $(uname -r)\"; echo 'this went to stderr' >&2; exec sleep 3600";
const BOOT_ID = "/proc/sys/kernel/random/boot_id";
const NEIGHBOUR = `echo boot $(cat ${BOOT_ID}); exec sleep 3600`;

export interface PodSceneOptions {
  readonly built: Artifacts;
  /** The bundled product. */
  readonly program: string;
  /** The pod is left running below the state-chart page until the signal is aborted. */
  readonly ui: boolean;
}

/** Shows it all. Throws the first failure; the node is cleaned up whatever happens. */
export async function showPod(
  { built, program, ui }: PodSceneOptions,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const { containerd } = built;
  if (containerd === null) return;
  report.heading("A node of its own: keeper, blazard, containerd");
  report.fact("the first start", "tries once whether KVM works, by booting a guest: up to 15 s");
  const node = await report.step(`start blazard and containerd ${containerd.version}`, () =>
    PrivateNode.start({ program, containerd: containerd.bin, prefix: "blazar-demo-" }),
  );
  const ids: string[] = [];
  try {
    report.fact("directory", node.directory);
    await report.step("build an OCI image of busybox, import it", async () =>
      node.containerd.importImage(await busyboxImage(IMAGE, built.busybox)),
    );
    signal.throwIfAborted();
    await new PodScene(node, report, ids, signal).play(ui ? program : undefined);
  } finally {
    await clearAway(node, ids, report);
  }
}

/** After the scene, whether it went well or not. */
async function clearAway(node: PrivateNode, ids: readonly string[], report: Report): Promise<void> {
  report.heading("Nothing is left");
  try {
    report.leftovers(await podLeftovers(ids, node));
    report.fact("of the pod", "processes, mounts, sockets, cgroups and files were looked for by their ids");
  } catch (error) {
    report.fail(reasonOf(error));
  }
  await report.step("stop containerd, blazard and keeper", () => node.stop());
  report.leftovers(await nodeLeftovers(node.directory));
  report.fact("of the node", "processes, mounts, sockets and files were looked for by its directory");
}

class PodScene {
  private readonly cri: CriClient;
  private readonly config: Parameters<CriClient["runPodSandbox"]>[0];
  private readonly logs: string;

  constructor(
    private readonly node: PrivateNode,
    private readonly report: Report,
    private readonly ids: string[],
    private readonly signal: AbortSignal,
  ) {
    this.cri = node.cri;
    this.logs = join(node.directory, "logs");
    this.config = hostNetworkPod("demo", { logDirectory: this.logs });
  }

  /** @param uiProgram serves the page at the end */
  async play(uiProgram: string | undefined): Promise<void> {
    const { report } = this;
    await mkdir(this.logs);
    report.heading("A pod: two containers in one microVM");
    const pod = await this.startPod();
    try {
      const greeter = await this.startContainer(pod, "greeter", GREETER);
      report.set({ containerStartMs: report.lastMs });
      const neighbour = await this.startContainer(pod, "neighbour", NEIGHBOUR);
      this.signal.throwIfAborted();
      await this.showKernels(greeter, neighbour);
      this.signal.throwIfAborted();
      report.heading("Commands in a running container");
      await this.showExecSync(greeter);
      await this.showShell(greeter);
      if (uiProgram !== undefined) await this.showPage(uiProgram);
    } finally {
      await this.removePod(pod);
    }
  }

  private async startPod(): Promise<string> {
    const { report, cri } = this;
    const pod = await report.step("RunPodSandbox", () => cri.runPodSandbox(this.config, "blazar"));
    this.ids.push(pod);
    report.set({ podStartMs: report.lastMs });
    const { timeline, acceleration } = podTimeline(await cri.podSandboxStatus(pod, true));
    report.parts(timeline);
    report.fact("VMM", `QEMU, ${acceleration === "kvm" ? "KVM" : "software emulation (no usable KVM)"}`);
    return pod;
  }

  private async startContainer(pod: string, name: string, script: string): Promise<string> {
    const { report, cri } = this;
    const parts: { step: string; ms: number }[] = [];
    const timed = async <T>(step: string, work: Promise<T>): Promise<T> => {
      const started = performance.now();
      const result = await work;
      parts.push({ step, ms: performance.now() - started });
      return result;
    };
    const config = {
      metadata: { name, attempt: 0 },
      image: { image: IMAGE },
      command: ["sh", "-c", script],
      logPath: `${name}.log`,
    };
    const id = await report.step(`start the container ${name}`, async () => {
      const created = await timed("CreateContainer", cri.createContainer(pod, config, this.config));
      this.ids.push(created);
      await timed("StartContainer", cri.startContainer(created));
      return created;
    });
    report.parts([...parts, ...(await creationSteps(this.node.blazardLog, id))]);
    return id;
  }

  /** Compares what the containers wrote to the log files that kubelet reads with what the host says. */
  private async showKernels(greeter: string, neighbour: string): Promise<void> {
    const { report, cri } = this;
    const log = await this.logLines("greeter", 2);
    const hello = expect(log.find(({ stream }) => stream === "stdout")?.text, "a line of stdout in the log");
    const aside = expect(log.find(({ stream }) => stream === "stderr")?.text, "a line of stderr in the log");
    const [boot] = await this.logLines("neighbour", 1);
    const guestBoot = (await execText(cri, greeter, ["cat", BOOT_ID])).stdout.trim();
    const hostBoot = (await readFile(BOOT_ID, "utf8")).trim();
    const guest = (await execText(cri, neighbour, ["uname", "-r"])).stdout.trim();
    const host = release();
    report.set({ guestKernel: guest, hostKernel: host });
    report.heading("Whose kernel?");
    report.fact("uname -r on the host", host);
    report.fact("uname -r in the pod", guest);
    report.fact("greeter.log, stdout", hello);
    report.fact("greeter.log, stderr", aside);
    report.fact("boot id of the host", hostBoot);
    report.fact("of both containers", guestBoot);
    check(hello.includes(guest), `the log says "${hello}", and the guest's kernel is ${guest}`);
    check(boot?.text === `boot ${guestBoot}`, "the two containers are not in one microVM");
    check(guestBoot !== hostBoot && guestBoot !== "", "the containers run on the host's kernel");
  }

  private async showExecSync(container: string): Promise<void> {
    const { report, cri } = this;
    const script = `echo out of $(hostname); echo err >&2; exit ${EXEC_CODE}`;
    const { code, ...output } = await report.step("ExecSync", () => execText(cri, container, script));
    report.set({ execMs: report.lastMs });
    const [stdout, stderr] = [output.stdout.trim(), output.stderr.trim()];
    report.fact("sh -c", script);
    report.fact("stdout", stdout);
    report.fact("stderr", stderr);
    report.fact("exit code", String(code));
    const right = stdout.startsWith("out of ") && stderr === "err";
    check(right, "ExecSync's output is not the command's");
    check(code === EXEC_CODE, `ExecSync's exit code is ${code}, not ${EXEC_CODE}`);
  }

  /** A shell with a terminal, as `kubectl exec -it` has it. */
  private async showShell(container: string): Promise<void> {
    const { report, cri } = this;
    const typed = ["stty size; tty; echo $((6 * 7))\n", `exit ${SHELL_CODE}\n`];
    const { code, stdout } = await report.step("an interactive shell (tty)", () =>
      typeIntoShell(cri, container, typed, TERMINAL_SIZE),
    );
    const lines = stdout
      .replaceAll("\r", "")
      .split("\n")
      .filter((line) => line.trim() !== "");
    report.fact("its screen", lines.join("\n"));
    check(lines.includes("42"), "the shell's answer is not on its screen");
    check(code === SHELL_CODE, `the shell's exit code is ${code}, not ${SHELL_CODE}`);
  }

  /** Until Ctrl-C. */
  private async showPage(program: string): Promise<void> {
    const { report, node, signal } = this;
    report.heading("The state-chart page");
    const page = await servePage(program, node.stateDirectory);
    try {
      report.fact("open in a browser", page.url);
      report.fact("until", "Ctrl-C; then the pod and the node are taken away");
      if (!signal.aborted) await once(signal, "abort");
    } finally {
      await page.stop();
    }
  }

  private async removePod(pod: string): Promise<void> {
    const { report, cri } = this;
    report.heading("The end");
    await report.step("StopPodSandbox", () => cri.stopPodSandbox(pod));
    await report.step("RemovePodSandbox", () => cri.removePodSandbox(pod));
  }

  /** The container's log once it has so many lines. */
  private logLines(name: string, count: number): Promise<LogLine[]> {
    const enough = async (): Promise<LogLine[] | undefined> => {
      const lines = await readContainerLog(join(this.logs, `${name}.log`));
      return lines.length >= count ? lines : undefined;
    };
    return until(`${count} lines in ${name}.log`, enough, LOG_PATIENCE);
  }
}

function check(holds: boolean, otherwise: string): void {
  if (!holds) throw blazarError("Internal", "show the demo", otherwise);
}

function expect(value: string | undefined, what: string): string {
  check(value !== undefined, `there is no ${what}`);
  return value ?? "";
}
