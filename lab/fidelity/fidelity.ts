/**
 * `npm run test:fidelity`: every case once under runc and once under blazar of one private containerd, at the same time.
 *
 * A difference fails the run unless the case explains it. The last line is `N same, 0 different, M explained`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { artifacts } from "../../setup/steps/artifacts.ts";
import { blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { within } from "../../src/lib/async.ts";
import { inLanes } from "../host/lanes.ts";
import { busyboxImage, linksImage, pauseImage, volumeImage } from "../images/busybox.ts";
import { removeAllPods } from "../node/pods.ts";
import { PrivateNode } from "../node/private-node.ts";
import { baseSpecHandlers } from "./base-spec.ts";
import type { FidelityCase } from "./case.ts";
import { EXEC_CASES } from "./cases/execs.ts";
import { HOSTILE_CASES } from "./cases/hostile.ts";
import { KERNEL_CASES } from "./cases/kernel.ts";
import { LIMIT_CASES } from "./cases/limits.ts";
import { NAMESPACE_CASES } from "./cases/namespaces.ts";
import { PID_NAMESPACE_CASES } from "./cases/pid-namespaces.ts";
import { PROCESS_CASES } from "./cases/process.ts";
import { RESOURCE_CASES } from "./cases/resources.ts";
import { RULE_CASES } from "./cases/rules.ts";
import { SECCOMP_CASES } from "./cases/seccomp.ts";
import { SIZING_CASES } from "./cases/sizing.ts";
import { SPEC_CASES } from "./cases/spec.ts";
import { TASK_CASES } from "./cases/task.ts";
import { CHANGING_VOLUME_CASES } from "./cases/volumes/changing.ts";
import { DESTINATION_CASES, LINKS_IMAGE } from "./cases/volumes/destinations.ts";
import { SHARE_CASES } from "./cases/volumes/shares.ts";
import { VOLUME_CASES, VOLUME_IMAGE } from "./cases/volumes/volumes.ts";
import { type Handler, HandlerPod, type PodMaker } from "./handler-pod.ts";
import { writePodNetwork } from "./pod-network.ts";
import { FAILING, FidelityReport, HANGING } from "./report.ts";

/** What hangs is an answer, too. */
const MOST_MS = 60_000;
/** So many cases go at once: most of them wait most of the time. */
const LANES = 3;
const IMAGE = "localhost/blazar/fidelity:latest";

/** Kubernetes' own waits for the orphans of its pod; so does a shell. No container's signal ends it. */
const REAPING_PAUSE = ["/bin/sh", "-c", "trap '' INT; while :; do tail -f /dev/null & wait; done"];

/** All cases, by the room that they are in. */
export const FIDELITY_CASES: readonly FidelityCase[] = [
  ...PROCESS_CASES,
  ...RULE_CASES,
  ...RESOURCE_CASES,
  ...VOLUME_CASES,
  ...SHARE_CASES,
  ...DESTINATION_CASES,
  ...SIZING_CASES,
  ...NAMESPACE_CASES,
  ...TASK_CASES,
  ...SPEC_CASES,
  ...EXEC_CASES,
  ...HOSTILE_CASES,
  ...LIMIT_CASES,
  ...PID_NAMESPACE_CASES,
  ...SECCOMP_CASES,
  ...KERNEL_CASES,
  ...CHANGING_VOLUME_CASES,
];

export interface FidelityOptions {
  /** The bundled product, `dist/blazar.mjs`. */
  readonly program: string;
  /** Only cases with this text in their name, or with one of several: `configMap|secret`. */
  readonly only: string;
}

/** Runs the cases; the returned number is the exit code. */
export async function testFidelity({ program, only }: FidelityOptions): Promise<number> {
  const built = artifacts();
  if (process.getuid?.() !== 0 || built.containerd === null) {
    const reason = built.containerd === null ? "set-up has no containerd" : "containers of runc need root";
    throw blazarError("DependencyMissing", "compare blazar with runc", reason);
  }
  const texts = only.split("|");
  const cases = FIDELITY_CASES.filter(
    ({ name, applies }) => texts.some((text) => name.includes(text)) && applies?.() !== false,
  );
  const scratch = await mkdtemp(join(tmpdir(), "blazar-fidelity-spec-"));
  const shims = join(dirname(dirname(program)), "deploy");
  const node = await PrivateNode.start({
    program,
    containerd: built.containerd.bin,
    containerdConfig: await baseSpecHandlers(join(scratch, "base.json"), shims),
    prefix: "blazar-fidelity-",
  });
  const report = new FidelityReport(process.stdout);
  await writePodNetwork(node.containerdDirectory);
  try {
    const image = await busyboxImage(IMAGE, built.busybox);
    await node.containerd.importImage(image);
    await node.containerd.importImage({ ...pauseImage(image), process: { Entrypoint: REAPING_PAUSE } });
    await node.containerd.importImage(volumeImage(VOLUME_IMAGE, image));
    await node.containerd.importImage(linksImage(LINKS_IMAGE, image));
    const { cri, directory, containerd } = node;
    const ctr = (...args: string[]) => containerd.ctr(...args);
    const maker = { cri, image: IMAGE, directory, ctr };
    await compare(cases, maker, report);
    return report.close();
  } finally {
    await removeAllPods(node.cri).catch(() => undefined);
    await node.stop();
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Each lane has two pods of its own, which its cases share. */
async function compare(
  cases: readonly FidelityCase[],
  maker: PodMaker,
  report: FidelityReport,
): Promise<void> {
  const lanes = Array.from({ length: LANES }, () => {
    const shared: Partial<Record<Handler, Promise<HandlerPod>>> = {};
    const answer = (each: FidelityCase, handler: Handler) => {
      const pod = shared[handler] ?? HandlerPod.start(maker, handler);
      shared[handler] = pod;
      return answerOf(each, handler, maker, pod);
    };
    return async (each: FidelityCase): Promise<Record<Handler, string>> => {
      const [first, blazar] = await Promise.all([answer(each, "runc"), answer(each, "blazar")]);
      if (each.explained !== undefined || first === blazar) return { runc: first, blazar };
      // what runc may answer is the measure, and now and then its answer is another one: a log's last line comes after the exit,
      // or no exit at all. Blazar is never asked again
      report.again(each, first);
      return { runc: await answer(each, "runc"), blazar };
    };
  });
  await inLanes(cases, lanes, (each, answers) => report.add(each, answers));
}

/** What the case tells; a failure is an answer, too. */
async function answerOf(
  { pod: config, baseSpec, run, mostMs = MOST_MS, podIsRefused = false }: FidelityCase,
  handler: Handler,
  maker: PodMaker,
  shared: Promise<HandlerPod>,
): Promise<string> {
  let own: HandlerPod | undefined;
  try {
    const given = typeof config === "function" ? config(handler) : config;
    if (given !== undefined || baseSpec === true) {
      const name = baseSpec === true ? `${handler}-spec` : handler;
      own = await HandlerPod.start(maker, name, given).catch(() => undefined);
      // kubelet acts on that, and not on the words, which are each runtime's own
      if (own === undefined) return podIsRefused ? "the pod is refused" : `${FAILING} the pod is refused`;
    }
    const pod = own ?? (await shared);
    return (await within(run(pod), mostMs)) ?? `${HANGING} ${mostMs} ms`;
  } catch (error) {
    return `${FAILING} ${reasonOf(error)}`;
  } finally {
    await own?.remove();
  }
}
