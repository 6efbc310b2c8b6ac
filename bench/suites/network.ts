/**
 * Pods' networks: bytes a second both ways, round trips and connections, from the host and from another pod.
 *
 * Both ends are netprobe (lab/network/programs), in pods on one bridge. Each figure is taken for a given time, after a
 * short run that does not count. What the ends and what is between them compute meanwhile is told as CPU time.
 */
import { readFile } from "node:fs/promises";
import { execText } from "../../lab/cri/commands.ts";
import { HANDLERS } from "../../lab/fidelity/handler-pod.ts";
import { allProcesses, descendants, processesOf, programOf } from "../../lab/host/processes.ts";
import { NetworkPod } from "../../lab/network/network-pod.ts";
import { NetworkRig } from "../../lab/network/rig.ts";
import { podTimeline } from "../../lab/node/pod-timeline.ts";
import { programFile } from "../../setup/lib/dist.ts";
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { type BASELINE, BLAZAR } from "../node/variants.ts";
import type { NetworkCpu, NetworkFigure, NetworkSample } from "../output/results.ts";
import type { SuiteContext } from "./context.ts";

const SUITE = "network";
const KIND = "bridge";
const PORT = "9000";
const WARM_UP_MS = 500;
const RUN_MS = 5_000;
const QUICK_RUN_MS = 2_000;
/** USER_HZ is 100 on every Linux. */
const TICK_MS = 10;

/** What is measured: netprobe's word, and how many streams. */
const WORK = [
  { name: "send", what: "send", streams: 1 },
  { name: "receive", what: "receive", streams: 1 },
  { name: "send, 4 streams", what: "send", streams: 4 },
  { name: "receive, 4 streams", what: "receive", streams: 4 },
  { name: "round trip", what: "echo", streams: 1 },
  { name: "connections", what: "connect", streams: 1 },
] as const;

interface Rate {
  readonly count: number;
  readonly ms: number;
  readonly p50us: number;
  readonly p99us: number;
}

export async function runNetwork(context: SuiteContext): Promise<NetworkSample[]> {
  const { absent, artifacts, handlers, progress, signal } = context;
  if (artifacts.containerd === null) throw notMeasured("set-up has no containerd");
  const samples: NetworkSample[] = [];
  const rig = await NetworkRig.start({
    program: programFile(),
    containerd: artifacts.containerd.bin,
    busybox: artifacts.busybox,
    stateInMemory: true,
  });
  try {
    for (const handler of HANDLERS.filter((each) => handlers.includes(each)).reverse()) {
      signal.throwIfAborted();
      try {
        samples.push(...(await new Networks(rig, handler, context).measure()));
      } catch (error) {
        if (signal.aborted) throw error;
        absent.push({ what: `${SUITE}: ${handler}`, why: reasonOf(error) });
        progress.line(`${SUITE}: ${handler} is absent: ${reasonOf(error)}`);
      }
    }
  } finally {
    await rig.stop();
  }
  return samples;
}

class Networks {
  constructor(
    private readonly rig: NetworkRig,
    private readonly handler: typeof BASELINE | typeof BLAZAR,
    private readonly context: SuiteContext,
  ) {}

  async measure(): Promise<NetworkSample[]> {
    const { handler, rig, context } = this;
    const server = await NetworkPod.start(rig, handler, KIND);
    const client = await NetworkPod.start(rig, handler, KIND);
    try {
      if (handler === BLAZAR) {
        const status = await rig.node.cri.podSandboxStatus(server.id, true);
        context.learned.acceleration = podTimeline(status).acceleration;
      }
      await server.container(`exec netprobe serve-rate :: ${PORT}`);
      await server.untilListening(Number(PORT));
      const fromHost = (...args: string[]) => rig.probe(rig.host, "rate", server.v4, PORT, ...args);
      const fromPod = async (...args: string[]) => {
        const command = ["netprobe", "rate", server.v4, PORT, ...args];
        const { stdout, stderr } = await execText(rig.node.cri, client.main, command, 60);
        return `${stdout}${stderr}`;
      };
      return [
        { handler, path: "host → pod", figures: await this.figures("host → pod", fromHost) },
        { handler, path: "pod → pod", figures: await this.figures("pod → pod", fromPod) },
      ];
    } finally {
      await Promise.all([server.remove(), client.remove()]);
    }
  }

  private async figures(
    path: string,
    rate: (...args: string[]) => Promise<string>,
  ): Promise<NetworkFigure[]> {
    const figures: NetworkFigure[] = [];
    for (const { name, what, streams } of WORK) {
      this.context.signal.throwIfAborted();
      this.context.progress.line(`${SUITE} ${this.handler}: ${path}, ${name}`);
      await rate(what, String(WARM_UP_MS), String(streams));
      for (let run = 1; run <= this.context.runs; run++) {
        const before = await this.cpu();
        const milliseconds = this.context.quick ? QUICK_RUN_MS : RUN_MS;
        const said = await rate(what, String(milliseconds), String(streams));
        const after = await this.cpu();
        figures.push({ name, run, ...parsed(said), cpuMs: difference(after, before) });
      }
    }
    return figures;
  }

  /** What has been computed so far, by whom. */
  private async cpu(): Promise<NetworkCpu> {
    const { node } = this.rig;
    const all = await allProcesses();
    const own = await processesOf([node.directory]);
    const keepers: number[] = [];
    for (const { pid } of own) if ((await programOf(pid)).endsWith("/keeper")) keepers.push(pid);
    const below = (roots: readonly number[]) => descendants(all, roots).map(({ pid }) => pid);
    const stat = await readFile("/proc/stat", "utf8");
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (stat.split("\n")[0] ?? "")
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return {
      // a container's server has a process for each connection, which is gone with its time
      sandboxes: await sum(below(keepers)),
      daemon: await sum([node.blazardPid, ...keepers]),
      interrupts: (irq + softirq) * TICK_MS,
      machine: (user + nice + system + irq + softirq) * TICK_MS,
      wall: performance.now(),
    };
  }
}

function parsed(said: string): Rate {
  try {
    return JSON.parse(said) as Rate;
  } catch {
    throw notMeasured(`netprobe has said: ${said.trim()}`);
  }
}

function difference(after: NetworkCpu, before: NetworkCpu): NetworkCpu {
  return {
    sandboxes: after.sandboxes - before.sandboxes,
    daemon: after.daemon - before.daemon,
    interrupts: after.interrupts - before.interrupts,
    machine: after.machine - before.machine,
    wall: after.wall - before.wall,
  };
}

async function sum(pids: readonly number[]): Promise<number> {
  const times = await Promise.all(pids.map(cpuTimeMs));
  return times.reduce((all, each) => all + each, 0);
}

/** Of a process, by utime and stime of proc(5). 0 if it is gone. */
async function cpuTimeMs(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return text === "" ? 0 : (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function notMeasured(reason: string): BlazarError {
  return blazarError("Internal", "measure pods' networks", reason);
}
