/**
 * `npm run test:workloads`: PostgreSQL, redis, nginx, git and sqlite of Debian in pods with volumes, under runc and
 * under blazar of one private containerd. It checks answers, and no speed.
 *
 * Each workload has a pod of its own with a hostPath at /data, an emptyDir at /tmp and a projected volume at /config.
 */
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { repoRoot } from "../../setup/lib/paths.ts";
import { artifacts } from "../../setup/steps/artifacts.ts";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { type ContainerConfig, type Handler, HandlerPod } from "../fidelity/handler-pod.ts";
import { reasonAgainstContainerd } from "../host/containerd-check.ts";
import { interruptible } from "../host/interruption.ts";
import { busyboxImage, pauseImage } from "../images/busybox.ts";
import { removeAllPods } from "../node/pods.ts";
import { PrivateNode } from "../node/private-node.ts";
import { WORKLOADS_IMAGE } from "./image.ts";
import { WorkloadReport } from "./report.ts";
import type { Workload, WorkloadPod } from "./workload.ts";
import { WORKLOADS } from "./workload-list.ts";

export interface WorkloadOptions {
  /** The bundled product, `dist/blazar.mjs`. */
  readonly program: string;
  /** The archive of the Debian image. */
  readonly image: string;
  readonly handlers: readonly Handler[];
  /** Only workloads with this text in their name. */
  readonly only: string;
}

/** An emulated guest is fifteen times slower, on a machine that may be busy. */
const PATIENCE = { timeoutMs: 30 * 60_000, pollMs: 200 };
const RESOURCES = { memoryLimitInBytes: 2 ** 30, cpuPeriod: 100_000, cpuQuota: 200_000 };
const PRELUDE = 'answer() { echo "= $*"; }\n';
/** Of the output of a script that failed. */
const SHOWN_LINES = 15;

/** Runs the workloads; the returned number is the exit code. */
export function testWorkloads(options: WorkloadOptions): Promise<number> {
  return interruptible("run the workloads", (signal) => compare(options, signal));
}

async function compare(options: WorkloadOptions, signal: AbortSignal): Promise<number> {
  const built = artifacts();
  const reason = await reasonAgainstContainerd(built);
  if (reason !== undefined) throw blazarError("DependencyMissing", "run workloads", reason);
  const node = await PrivateNode.start({
    program: options.program,
    containerd: built.containerd?.bin ?? "",
    prefix: "blazar-workloads-",
  });
  const report = new WorkloadReport(process.stdout, options.handlers);
  try {
    await node.containerd.importArchive(options.image, WORKLOADS_IMAGE);
    await node.containerd.importImage(pauseImage(await busyboxImage("", built.busybox)));
    for (const workload of WORKLOADS.filter(({ name }) => name.includes(options.only))) {
      const answers: Partial<Record<Handler, string>> = {};
      for (const handler of options.handlers)
        answers[handler] = await answerOf(workload, handler, { node, signal });
      report.add(workload, answers);
    }
    return report.close();
  } finally {
    await removeAllPods(node.cri).catch(() => undefined);
    await node.stop();
  }
}

interface Bench {
  readonly node: PrivateNode;
  readonly signal: AbortSignal;
}

/** What a workload answers; a failure is an answer, too. */
async function answerOf(workload: Workload, handler: Handler, { node, signal }: Bench): Promise<string> {
  const { cri, directory, containerd } = node;
  const ctr = (...args: string[]) => containerd.ctr(...args);
  const maker = { cri, image: WORKLOADS_IMAGE, directory, ctr };
  let pod: HandlerPod | undefined;
  try {
    const uid = `${handler}-${WORKLOADS.indexOf(workload)}`;
    const mounts = await makeVolumes(join(node.directory, "kubelet", "pods", uid));
    pod = await HandlerPod.start(maker, handler, { linux: { resources: RESOURCES } });
    return await workload.run(workloadPod(pod, { mounts, linux: { resources: RESOURCES } }, signal));
  } catch (error) {
    signal.throwIfAborted();
    return `failed: ${reasonOf(error)}`;
  } finally {
    await pod?.remove();
  }
}

function workloadPod(pod: HandlerPod, config: ContainerConfig, signal: AbortSignal): WorkloadPod {
  const patience = { ...PATIENCE, signal };
  return {
    run: async (script) => answersIn(await pod.run(await commandOf(script), config, patience)),
    during: async (server, use) => pod.during(use, await commandOf(server), config),
  };
}

async function commandOf(script: string): Promise<string[]> {
  const file = join(repoRoot(), "lab", "workloads", "scripts", `${script}.sh`);
  return ["bash", "-c", `${PRELUDE}${await readFile(file, "utf8")}`];
}

/** The lines that the script calls answers; of a script that failed, the last lines too. */
function answersIn(output: string): string {
  const lines = output.split("\n");
  const answers = lines.filter((line) => line.startsWith("= ")).map((line) => line.slice(2));
  const failed = lines.at(-1)?.startsWith("exit 0 ") === true ? [] : lines.slice(-SHOWN_LINES);
  return [...answers, ...failed].join("\n");
}

/** A pod's volumes where a kubelet has them, but for the hostPath. */
async function makeVolumes(pod: string): Promise<NonNullable<ContainerConfig["mounts"]>> {
  const [data, scratch] = [
    join(pod, "host-path"),
    join(pod, "volumes", "kubernetes.io~empty-dir", "scratch"),
  ];
  const config = join(pod, "volumes", "kubernetes.io~configmap", "config");
  for (const directory of [data, scratch]) {
    await mkdir(directory, { recursive: true });
    await chmod(directory, 0o1777);
  }
  await makeConfig(config);
  return [
    { hostPath: data, containerPath: "/data" },
    { hostPath: scratch, containerPath: "/tmp" },
    { hostPath: config, containerPath: "/config", readonly: true },
  ];
}

/** As kubelet's AtomicWriter lays it out: files are links through `..data`, which is swapped at an update. */
async function makeConfig(directory: string): Promise<void> {
  const version = "..2020_01_01_00_00_00.000000001";
  await mkdir(join(directory, version), { recursive: true });
  await symlink(version, join(directory, "..data"));
  for (const [name, content] of Object.entries({ greeting: "hello\n", "nginx.conf": NGINX })) {
    await writeFile(join(directory, version, name), content);
    await symlink(join("..data", name), join(directory, name));
  }
}

const NGINX = `daemon off;
worker_processes 2;
pid /tmp/nginx.pid;
error_log stderr;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  server { listen 127.0.0.1:8080; root /data/www; }
}
`;
