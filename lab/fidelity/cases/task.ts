/** Cases: what is told of containers and pods, and what is done to their processes from outside. */
import { rmdirSync } from "node:fs";
import { PassThrough } from "node:stream";
import { reasonOf } from "../../../src/contracts/errors.ts";
import { ContainerState } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import { until } from "../../host/until.ts";
import type { FidelityCase } from "../case.ts";
import { type ContainerConfig, failureOf, type HandlerPod } from "../handler-pod.ts";

const MEBIBYTE = 1024n * 1024n;
const SECOND = 1_000_000_000n;
const SLEEP = "exec sleep 1000";
/** dd reads 50 MB into its memory, and nobody takes them. */
const HOLD = "dd if=/dev/zero bs=50M count=1 2>/dev/null | sleep 1000";
const HELD = "grep VmRSS /proc/$(pidof dd)/status | tr -dc 0-9";
const BURN = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
const limited: ContainerConfig = { linux: { resources: { memoryLimitInBytes: 160n * MEBIBYTE } } };
const GROUP = "/blazar-fidelity";

const between = (value: bigint, least: bigint, most: bigint) =>
  value >= least && value <= most ? "plausible" : String(value);

/** The names of what is there, and of what is there inside. */
function fields(value: object, prefix = ""): string[] {
  return Object.entries(value).flatMap(([name, inner]) => {
    if (inner === undefined || Array.isArray(inner)) return [];
    const isNumber = typeof inner === "object" && inner !== null && "value" in inner;
    return typeof inner === "object" && inner !== null && !isNumber
      ? fields(inner, `${prefix}${name}.`)
      : [`${prefix}${name}`];
  });
}

/** Its line of containerd's list. */
const taskOf = async (pod: HandlerPod, id: string) =>
  (await pod.ctr("tasks", "ls")).split("\n").find((line) => line.includes(id));

const held = (pod: HandlerPod, id: string) =>
  until("50 MB in memory", async () =>
    Number.parseInt(await pod.execIn(id, HELD), 10) >= 50_000 ? true : undefined,
  );

async function containerStats(pod: HandlerPod, id: string): Promise<string> {
  await held(pod, id);
  await pod.cri.listContainerStats({ id });
  const started = process.hrtime.bigint();
  await pod.execIn(id, BURN);
  const took = process.hrtime.bigint() - started;
  const [stats] = await pod.cri.listContainerStats({ id });
  const { cpu, memory, writableLayer } = stats ?? {};
  const amount = (value: { value: bigint } | undefined) => value?.value ?? 0n;
  return [
    `cpu ${fields(cpu ?? {}).join(" ")}, ${between(amount(cpu?.usageCoreNanoSeconds), took / 4n, 120n * SECOND)}`,
    `now ${between(amount(cpu?.usageNanoCores), SECOND / 10n, 2n * SECOND)}`,
    `memory ${fields(memory ?? {}).join(" ")}`,
    `working set ${between(amount(memory?.workingSetBytes), 45n * MEBIBYTE, 150n * MEBIBYTE)}`,
    `rss ${between(amount(memory?.rssBytes), 45n * MEBIBYTE, 150n * MEBIBYTE)}`,
    `available ${between(amount(memory?.availableBytes), MEBIBYTE, 115n * MEBIBYTE)}`,
    `layer ${fields(writableLayer ?? {}).join(" ")}`,
  ].join("\n");
}

async function podStats(pod: HandlerPod, id: string): Promise<string> {
  await held(pod, id);
  await pod.execIn(id, BURN);
  const [listed] = await pod.cri.listPodSandboxStats(pod.id);
  const { linux, attributes } = (await pod.cri.podSandboxStats(pod.id)) ?? {};
  const amount = (value: { value: bigint } | undefined) => value?.value ?? 0n;
  return [
    `attributes ${fields(attributes ?? {})
      .filter((name) => !name.includes("annotations"))
      .join(" ")}`,
    `cpu ${fields(linux?.cpu ?? {}).join(" ")}, ${between(amount(linux?.cpu?.usageCoreNanoSeconds), SECOND / 20n, 120n * SECOND)}`,
    `memory ${fields(linux?.memory ?? {}).join(" ")}`,
    `working set ${between(amount(linux?.memory?.workingSetBytes), 45n * MEBIBYTE, 600n * MEBIBYTE)}`,
    `in the list ${fields(listed?.linux?.cpu ?? {}).join(" ")}`,
    `containers ${linux?.containers.length}, processes ${amount(linux?.process?.processCount)}`,
  ].join("\n");
}

/** containerd has them from 2.2 on. */
async function podMetrics(pod: HandlerPod): Promise<string> {
  const descriptors = await pod.cri.listMetricDescriptors().catch(reasonOf);
  const metrics = await pod.cri
    .listPodSandboxMetrics()
    .then((all) => all.find(({ podSandboxId }) => podSandboxId === pod.id))
    .catch(reasonOf);
  const names = (list: readonly { name: string }[]) =>
    [...new Set(list.map(({ name }) => name))].sort().join(" ");
  if (typeof metrics !== "object") return `${descriptors}\n${metrics}`;
  return `${descriptors}\n${names(metrics.metrics)}\n${metrics.containerMetrics.map((each) => names(each.metrics))}`;
}

/** kubelet removes a pod's cgroup; here nobody else does. */
function removeGroup(): void {
  for (const hierarchy of [
    "",
    "cpu",
    "cpuacct",
    "cpu,cpuacct",
    "cpuset",
    "memory",
    "pids",
    "blkio",
    "devices",
    "freezer",
    "hugetlb",
    "perf_event",
    "net_cls",
    "net_prio",
    "misc",
    "rdma",
    "systemd",
    "unified",
  ]) {
    try {
      rmdirSync(`/sys/fs/cgroup/${hierarchy}${GROUP}`);
    } catch {
      // another hierarchy, or still in use
    }
  }
}

const interactive: ContainerConfig = { stdin: true, stdinOnce: false };

/** Attaches, sends a line, and reads until it has come back; then goes away. */
async function echoed(pod: HandlerPod, id: string, line: string): Promise<string> {
  const stdout = new PassThrough();
  let text = "";
  stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const attached = await pod.cri.attach(id, { stdin: new PassThrough(), stdout });
  await attached.write(`${line}\n`);
  await until(`the echo of ${line}`, async () => (text.includes(line) ? true : undefined));
  attached.close();
  return text.trim();
}

/** How many processes Task.Pids tells, and how many of them are execs by its account. */
async function processList(pod: HandlerPod, id: string): Promise<string> {
  const [, ...lines] = (await pod.ctr("tasks", "ps", id)).trim().split("\n");
  return `${lines.length} with ${lines.filter((line) => /[0-9a-f]{64}/.test(line)).length}`;
}

export const TASK_CASES: readonly FidelityCase[] = [
  {
    name: "task: statistics of a container that computes and holds 50 MB",
    run: (pod) => pod.during((id) => containerStats(pod, id), HOLD, limited),
  },
  {
    name: "task: statistics of its pod",
    pod: { linux: { cgroupParent: GROUP } },
    run: (pod) => pod.during((id) => podStats(pod, id), HOLD, limited).finally(removeGroup),
  },
  {
    name: "task: metrics of pods, and their descriptors",
    run: (pod) => pod.during(() => podMetrics(pod), SLEEP),
  },
  {
    name: "task: a memory limit below what a container holds is refused, and the container lives",
    run: (pod) =>
      pod.during(
        async (id) => {
          await held(pod, id);
          const update = (memory: bigint) =>
            failureOf(pod.cri.updateContainerResources(id, { memoryLimitInBytes: memory * MEBIBYTE }));
          return `${await update(8n)}, ${await update(80n)}, ${await pod.execIn(id, "echo alive")}`;
        },
        HOLD,
        limited,
      ),
  },
  {
    name: "task: a memory limit below what is in caches",
    run: (pod) =>
      pod.during(
        async (id) => {
          await pod.execIn(id, "dd if=/dev/zero of=/big bs=1M count=60 2>/dev/null");
          const resources = { memoryLimitInBytes: 24n * MEBIBYTE };
          return `${await failureOf(pod.cri.updateContainerResources(id, resources))}, ${await pod.execIn(id, "echo alive")}`;
        },
        SLEEP,
        limited,
      ),
  },
  {
    name: "task: attaching, and attaching again",
    run: (pod) =>
      pod.during(
        async (id) => `${await echoed(pod, id, "first")}, ${await echoed(pod, id, "second")}`,
        "exec cat",
        interactive,
      ),
  },
  {
    name: "task: the end of its input ends a container",
    run: (pod) =>
      pod.during(
        async (id) => {
          await echoed(pod, id, "only");
          const { exitCode } = await pod.ended(id);
          return `exit ${exitCode}`;
        },
        "exec cat",
        { stdin: true, stdinOnce: true },
      ),
  },
  {
    name: "task: 5 MB of input to an exec",
    run: (pod) =>
      pod.during(async (id) => {
        let text = "";
        const stdout = new PassThrough().on("data", (chunk: Buffer) => {
          text += chunk.toString();
        });
        const streams = { stdin: new PassThrough(), stdout };
        const process = await pod.cri.exec(id, ["sh", "-c", "head -c 5000000 | md5sum"], streams);
        for (let sent = 0; sent < 5_000_000; sent += 50_000)
          await process.write(Buffer.alloc(50_000, sent / 50_000));
        return `${text}exit ${await process.exitCode}${text}`;
      }, SLEEP),
  },
  {
    name: "task: a terminal that is resized",
    run: (pod) =>
      pod.during(async (id) => {
        let screen = "";
        const stdout = new PassThrough().on("data", (chunk: Buffer) => {
          screen += chunk.toString();
        });
        const shell = await pod.cri.exec(id, ["sh"], { tty: true, stdin: new PassThrough(), stdout });
        shell.resize(91, 31);
        await until("the new size", async () => {
          await shell.write("stty size\n");
          return screen.includes("31 91") ? true : undefined;
        });
        await shell.write("exit 4\n");
        return `exit ${await shell.exitCode}`;
      }, SLEEP),
  },
  {
    name: "task: the list of processes tells execs by their ids",
    run: (pod) =>
      pod.during(async (id) => {
        const before = await processList(pod, id);
        const exec = await pod.cri.exec(id, ["sleep", "1000"], { stdin: new PassThrough() });
        const during = await until("the exec in the list", async () => {
          const list = await processList(pod, id);
          return list === before ? undefined : list;
        });
        exec.close();
        return `${before}, ${during}`;
      }, SLEEP),
  },
  {
    name: "task: the list of processes has an exec's id as its caller has given it, and no other exec may have it",
    run: (pod) =>
      pod.during(async (id) => {
        const exec = pod.ctr("tasks", "exec", "--exec-id", "my.exec-1", id, "sh", "-c", "sleep 3; exit 3");
        const end = failureOf(exec);
        const list = async () => (await pod.ctr("tasks", "ps", id)).match(/exec_id:"[^"]*"/g) ?? [];
        const during = await until("the exec in the list", async () => {
          const found = await list();
          return found.length > 0 ? found.join(" ") : undefined;
        });
        const second = await failureOf(pod.ctr("tasks", "exec", "--exec-id", "my.exec-1", id, "true"));
        await end;
        return `${during}, a second one: ${second}, then ${(await list()).length}`;
      }, SLEEP),
  },
  {
    name: "task: the list of processes has what a container's own have started",
    run: (pod) =>
      pod.during(async (id) => {
        await pod.execIn(id, "until pidof sleep; do sleep 0.1; done");
        return processList(pod, id);
      }, "sleep 1000 & wait"),
  },
  {
    name: "task: an exec that takes too long is killed",
    run: (pod) =>
      pod.during(async (id) => {
        const outcome = await failureOf(pod.cri.execSync(id, ["sleep", "77"], 1));
        return `${outcome}, ${await pod.execIn(id, "ps -o args | grep -c '^sleep 77$'; true")}`;
      }, SLEEP),
  },
  {
    name: "task: a container that ignores its signal is killed after the grace period",
    run: (pod) =>
      pod.during(async (id) => {
        await pod.cri.stopContainer(id, 1);
        const { status } = await pod.cri.containerStatus(id);
        return `${status?.state === ContainerState.CONTAINER_EXITED} ${status?.exitCode}`;
      }, "trap '' TERM; while :; do sleep 0.1; done"),
  },
  {
    name: "task: a paused container is told as paused, and takes an exec only when it goes on",
    run: (pod) =>
      pod.during(async (id) => {
        const state = async () => / (RUNNING|PAUSED)/.exec((await taskOf(pod, id)) ?? "")?.[1];
        await pod.ctr("tasks", "pause", id);
        const paused = await state();
        const refused = await failureOf(pod.ctr("tasks", "exec", "--exec-id", "e", id, "true"));
        await pod.ctr("tasks", "resume", id);
        return `${paused}, an exec: ${refused}, ${await state()}, ${await pod.execIn(id, "echo on")}`;
      }, SLEEP),
  },
  {
    name: "task: a signal to a paused container is obeyed when it goes on",
    run: (pod) =>
      pod.during(async (id) => {
        await pod.execIn(id, "until [ -e /trapped ]; do sleep 0.1; done");
        await pod.ctr("tasks", "pause", id);
        await pod.ctr("tasks", "kill", "-s", "SIGTERM", id);
        await pod.ctr("tasks", "resume", id);
        const { exitCode, reason } = await pod.ended(id);
        return `${exitCode} ${reason}`;
      }, "trap 'exit 9' TERM; touch /trapped; while :; do sleep 0.1; done"),
  },
  {
    name: "task: a paused container is killed by its stop",
    run: (pod) =>
      pod.during(async (id) => {
        await pod.ctr("tasks", "pause", id);
        await pod.cri.stopContainer(id, 1);
        return String((await pod.ended(id)).exitCode);
      }, "trap 'exit 9' TERM; while :; do sleep 0.1; done"),
  },
  {
    name: "task: a signal for all processes reaches children and execs, and SIGKILL ends them",
    run: (pod) =>
      pod.during(async (id) => {
        const loop = "echo up >> /up; while :; do sleep 0.1; done";
        const exec = pod.execIn(id, `trap 'echo exec >> /got; exit 3' TERM; ${loop}`);
        await pod.execIn(id, "until [ $(wc -l < /up) = 3 ]; do sleep 0.1; done");
        await pod.ctr("tasks", "kill", "--all", "-s", "SIGTERM", id);
        const got = await pod.execIn(id, "until [ $(wc -l < /got) = 3 ]; do sleep 0.1; done; sort /got");
        await pod.ctr("tasks", "kill", "--all", "-s", "SIGKILL", id);
        return `${got} ${await exec} ${(await pod.ended(id)).exitCode}`;
      }, "touch /up /got; for n in 1 2; do (trap 'echo child >> /got; exit' TERM; echo up >> /up; while :; do sleep 0.1; done) & done; trap : TERM; while :; do sleep 0.1; done"),
  },
  {
    name: "task: what the first process leaves behind ends with it",
    run: (pod) => pod.run("sleep 1000 & (setsid sleep 1000 &) ; echo up; exit 6"),
  },
  {
    name: "task: no zombie stays, of a child that init does not wait for",
    run: (pod) =>
      pod.during(
        (id) => pod.execIn(id, "(sleep 0.2 &); (true &); sleep 0.8; ps -o stat,args | grep -c '^Z'; true"),
        "while :; do sleep 0.1; done",
      ),
  },
];
