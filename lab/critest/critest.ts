/**
 * Runs critest against a private node, under runc, blazar or both, and compares.
 *
 * Everything is in network and IPC namespaces of its own (setup/test-critest.ts): critest leaves shared memory behind,
 * binds fixed ports, and pods need a network. Must not reach a registry: all images are the lab's.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { artifacts } from "../../setup/steps/artifacts.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import type { Handler } from "../fidelity/handler-pod.ts";
import { reasonAgainstContainerd } from "../host/containerd-check.ts";
import { interruptible } from "../host/interruption.ts";
import { unmountBelow } from "../host/mounts.ts";
import { type Busybox, busyboxImage, pauseImage } from "../images/busybox.ts";
import type { ImageSpec } from "../images/image-builder.ts";
import { removeAllPods } from "../node/pods.ts";
import { PrivateNode } from "../node/private-node.ts";
import { hostNetwork, runcNetwork } from "./cni.ts";
import { LoopbackRegistry } from "./registry.ts";
import { printReport, type ResultsByHandler } from "./report.ts";
import type { Results } from "./results.ts";
import { runCritest } from "./run.ts";
import { testImages } from "./test-images.ts";

export interface CritestOptions {
  /** The bundled product, `dist/blazar.mjs`. */
  readonly program: string;
  readonly critest: string;
  /** One with all applets. */
  readonly busybox: Busybox;
  readonly handlers: readonly Handler[];
  /** Only cases with this text in their name. */
  readonly only: string;
  /** Where reports and output of the runs stay. */
  readonly logs: string;
}

/** Runs the suite; the returned number is the exit code. */
export function testCritest(options: CritestOptions): Promise<number> {
  return interruptible("run critest", (signal) => compare(options, signal));
}

async function compare(options: CritestOptions, signal: AbortSignal): Promise<number> {
  const built = artifacts();
  const reason = await reasonAgainstContainerd(built);
  if (reason !== undefined) throw blazarError("DependencyMissing", "run critest", reason);
  // critest's and the registry's own files; its path is short, as sockets need it
  const directory = await mkdtemp(join(tmpdir(), "blazar-critest-"));
  const registry = await LoopbackRegistry.start(
    await testImages(options.busybox, join(directory, "programs")),
  );
  let node: PrivateNode | undefined;
  try {
    await hostNetwork();
    const hosts = await registry.hostsDirectory(join(directory, "certs.d"));
    node = await PrivateNode.start({
      program: options.program,
      containerd: built.containerd?.bin ?? "",
      prefix: "blazar-critest-node-",
      containerdConfig: hosts,
    });
    await runcNetwork(node);
    await node.containerd.importImage(await quietPause(built.busybox));
    const results: ResultsByHandler = {};
    for (const handler of options.handlers)
      results[handler] = await runHandler(handler, { node, directory, options, signal });
    process.stdout.write("\n");
    return printReport(process.stdout, results);
  } finally {
    if (node !== undefined) await removeAllPods(node.cri).catch(() => undefined);
    await node?.stop();
    await registry.stop();
    // a case that fails may leave mounts
    await unmountBelow(directory);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Rests without being called `sleep`: critest looks for its own processes of this name in the pod. */
async function quietPause(busybox: Busybox): Promise<ImageSpec> {
  const image = pauseImage(await busyboxImage("", busybox));
  return { ...image, process: { Entrypoint: ["/bin/tail", "-f", "/dev/null"] } };
}

interface Run {
  readonly node: PrivateNode;
  readonly directory: string;
  readonly options: CritestOptions;
  readonly signal: AbortSignal;
}

/** Runs the suite once. */
async function runHandler(handler: Handler, { node, directory, options, signal }: Run): Promise<Results> {
  const { critest, only, logs } = options;
  const scratch = join(directory, handler);
  await mkdir(scratch, { recursive: true });
  const { socket } = node.containerd;
  try {
    return await runCritest({ critest, handler, socket, scratch, only, logs, signal });
  } finally {
    // what a failed case has left must not disturb the next run
    await removeAllPods(node.cri);
  }
}
