/**
 * What a guest can do whose kernel is hostile: programs/impostor.c stops the agent, takes its port, and speaks to the daemon in the
 * agent's place. It runs as root of the guest, outside of all containers.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { followLog } from "../../../src/console/follow-log.ts";
import { reasonOf } from "../../../src/contracts/errors.ts";
import { pause } from "../../../src/lib/async.ts";
import { ContainerState } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import { InspectionClient } from "../../../src/rpc/inspection/client.ts";
import { until } from "../../host/until.ts";
import { hostNetworkPod } from "../../node/pods.ts";
import type { Attack, Ground } from "../attack.ts";
import { Growth } from "../growth.ts";
import { controlCharacterIn } from "../terminal.ts";

const SECONDS = 6;
/** deadlines.containerEnd, and what a stop takes. */
const MOST_STOP_SECONDS = 90;
/** Until the impostor speaks. */
const BEGIN_MS = 30_000;

/** Modes of the impostor, by what it does. Those that break the protocol cost the pod its life. */
const SPEECHES: Readonly<Record<string, string>> = {
  random: "bytes at random",
  zeros: "nothing but zeros",
  huge: "frames that claim to be of 4 GiB",
  hellos: "hellos without end",
  bytewise: "a frame of 1 MiB, byte by byte",
  acks: "acks of all streams without end",
  data: "data of one byte each for all streams",
  events: "events without end, with control characters",
  deep: "events of half a million brackets",
};

/** Puts the impostor into the agent's place. Resolves when it speaks, or when the pod has ended because it did. */
async function withImpostor(
  ground: Ground,
  mode: string,
  meanwhile: () => Promise<string | undefined>,
): Promise<string | undefined> {
  const { pod } = ground.hostile;
  const over = new AbortController();
  const launch = `for each in /proc/[0-9]*; do [ -x $each/root/impostor ] && exec $each/root/impostor ${mode}; done; echo no impostor`;
  const said = ground.blazar(["exec", pod, "--", "sh", "-c", launch], over.signal);
  try {
    // it is quiet for a moment, so that it is seen even if its words end the pod
    const spoke = async (): Promise<true | undefined> =>
      (await consoleOf(ground)).includes(`impostor: ${mode}`) ? true : undefined;
    const patience = { timeoutMs: BEGIN_MS, pollMs: 200, signal: ground.signal };
    await until("the impostor to speak", spoke, patience).catch(async (error: unknown) => {
      over.abort();
      throw new Error(`the impostor has not spoken: ${await said}`, { cause: error });
    });
    return await meanwhile();
  } finally {
    over.abort();
    await said;
  }
}

/** The end of the guest's console; "" where it cannot be asked any more. */
async function consoleOf({ node, hostile, signal }: Ground): Promise<string> {
  const daemon = new InspectionClient(node.inspectionSocket);
  let text = "";
  const view = { id: hostile.pod, log: "console", tailBytes: 64 * 1024, follow: false } as const;
  try {
    const take = (bytes: Uint8Array): void => {
      text += new TextDecoder().decode(bytes);
    };
    await followLog(daemon, view, take, { signal, onGone: () => undefined });
    return text;
  } catch {
    return "";
  } finally {
    daemon.close();
  }
}

function speaking(mode: string, what: string): Attack {
  return {
    name: `the daemon serves all others, and does not grow: ${what}`,
    by: "a guest",
    async tryIt(ground) {
      const growth = await Growth.from(ground);
      return withImpostor(ground, mode, async () => {
        for (let second = 0; second < SECONDS; second++) {
          await pause(1_000, ground.signal);
          await growth.look();
        }
        return (
          growth.tooMuch ??
          controlCharacterIn(await ground.node.cri.podSandboxStatus(ground.hostile.pod, true))
        );
      });
    },
  };
}

const COMMANDS = [
  ...[["ps"], ["ps", "-o", "json"], ["why"], ["inspect"], ["timeline"]],
  ...[["logs"], ["logs", "--agent"], ["logs", "--vmm"]],
];

/** All that kubelet and operators ask about a pod, at once. Errors are answers, too. */
async function everyAnswer({ node, hostile, blazar }: Ground): Promise<unknown[]> {
  const { cri } = node;
  const { pod, container } = hostile;
  const config = hostNetworkPod("hostile");
  const spec = { metadata: { name: "more", attempt: 0 }, image: { image: "" }, command: ["true"] };
  const more = async () => {
    const { image } = (await cri.containerStatus(container)).status ?? {};
    const id = await cri.createContainer(pod, { ...spec, ...(image === undefined ? {} : { image }) }, config);
    await cri.startContainer(id);
  };
  const asked: Promise<unknown>[] = [
    cri.execSync(container, ["true"], 3),
    cri.execSync(container, ["true"], 3),
    cri.containerStats(container),
    cri.listContainerStats({}),
    cri.podSandboxStats(pod),
    cri.updateContainerResources(container, { memoryLimitInBytes: 64 * 2 ** 20 }),
    more(),
    cri.podSandboxStatus(pod, true),
    cri.containerStatus(container, true),
  ];
  const bounded = asked.map((each) => Promise.race([each, pause(60_000).then(() => "no answer in 60 s")]));
  const answers = await Promise.allSettled(bounded);
  const told = answers.map((each): unknown =>
    each.status === "fulfilled" ? each.value : reasonOf(each.reason),
  );
  // one after the other: each is a process of its own, and others' execs are timed
  for (const words of COMMANDS) told.push(await blazar([...words, ...(words[0] === "ps" ? [] : [pod])]));
  return told;
}

/** Lines that daemons have written, each without its end. */
async function logsOf({ node }: Ground): Promise<string[]> {
  const files = [node.blazardLog, join(node.stateDirectory, "keeper.log")];
  const texts = await Promise.all(files.map((file) => readFile(file, "utf8")));
  return texts.flatMap((text) => text.split("\n"));
}

const LIES: Attack = {
  name: "control characters reach no status, no log, no command's text: an agent that answers with lies",
  by: "a guest",
  tryIt: (ground) =>
    withImpostor(ground, "lies", async () => {
      const said = [...(await everyAnswer(ground)), ...(await logsOf(ground))];
      // what the impostor says is there, and harmless
      const shown = said.some((each) => typeof each === "string" && each.includes("owned"));
      if (!shown) throw new Error("nobody has heard the impostor's words");
      return said.map(controlCharacterIn).find((found) => found !== undefined);
    }),
};

const SILENT: Attack = {
  name: "its pod is stopped and removed: an agent that takes everything and answers nothing",
  by: "a guest",
  tryIt: (ground) =>
    withImpostor(ground, "silent", async () => {
      const { cri } = ground.node;
      const asked = cri.execSync(ground.hostile.container, ["true"], 1).then(
        () => "it answers",
        () => undefined,
      );
      await pause(1_000, ground.signal);
      const began = performance.now();
      await cri.stopPodSandbox(ground.hostile.pod);
      const seconds = (performance.now() - began) / 1000;
      if ((await asked) !== undefined) throw new Error("the agent has answered");
      return seconds > 30 ? `its stop took ${seconds.toFixed(0)} s` : undefined;
    }),
};

function notEnding(mode: string, what: string): Attack {
  return {
    name: `its container ends by SIGKILL, and its pod is removed: ${what}`,
    by: "a guest",
    tryIt: (ground) =>
      withImpostor(ground, mode, async () => {
        const { node, hostile, signal } = ground;
        const began = performance.now();
        // as kubelet does before it stops the pod; an error of the guest's is no end
        await node.cri.stopContainer(hostile.container, 0).catch(() => undefined);
        const ended = async (): Promise<true | undefined> =>
          (await node.cri.containerStatus(hostile.container)).status?.state ===
          ContainerState.CONTAINER_EXITED
            ? true
            : undefined;
        await until("the container's end", ended, { timeoutMs: 120_000, pollMs: 200, signal });
        await node.cri.stopPodSandbox(hostile.pod);
        const seconds = (performance.now() - began) / 1000;
        return seconds > MOST_STOP_SECONDS ? `its stop took ${seconds.toFixed(0)} s` : undefined;
      }),
  };
}

export const AGENTS: readonly Attack[] = [
  ...Object.entries(SPEECHES).map(([mode, what]) => speaking(mode, what)),
  LIES,
  SILENT,
  notEnding("yes", "an agent that says yes to everything and does nothing"),
  notEnding("gone", "an agent that knows of no container"),
];
