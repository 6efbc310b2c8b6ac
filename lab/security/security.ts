/**
 * `npm run test:security`: attacks on a private node, with innocent pods beside that are checked for every byte and for how long
 * their execs take.
 *
 * An attack is one of attacks/; each is bounded in time and count. One throws what nobody expected, and counts as a success
 * of the attacker. What is done to a process or a file is done to the node's own.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { artifacts } from "../../setup/steps/artifacts.ts";
import { reasonOf } from "../../src/contracts/errors.ts";
import { interruptible } from "../host/interruption.ts";
import { runToEnd } from "../host/program.ts";
import { busyboxImage } from "../images/busybox.ts";
import { hostNetworkPod, removePod } from "../node/pods.ts";
import { PrivateNode } from "../node/private-node.ts";
import type { Attack, Ground } from "./attack.ts";
import { CLIENTS } from "./attacks/clients.ts";
import { ESCAPED } from "./attacks/escaped.ts";
import { GUESTS } from "./attacks/guests.ts";
import { LOCAL_USERS } from "./attacks/local-users.ts";
import { OPERATORS } from "./attacks/operators.ts";
import { Innocents } from "./innocents.ts";

export const ATTACKS: readonly Attack[] = [...OPERATORS, ...CLIENTS, ...LOCAL_USERS, ...ESCAPED, ...GUESTS];

export interface SecurityOptions {
  /** The bundled product, `dist/blazar.mjs`. */
  readonly program: string;
  /** Only attacks with this in their line of the table; with `|` between, with one of several. */
  readonly text: string;
  readonly out: Pick<NodeJS.WritableStream, "write">;
}

const IMAGE = "localhost/blazar/security:latest";
const INNOCENTS = 2;
/** Execs by which the time without an attack is known, and the least with one. */
const USUAL_EXECS = 20;
const LEAST_EXECS = 6;
const MOST_TIMES = 2;
/** An attack that takes longer is cut off, and has succeeded. */
const ATTACK_SECONDS = 120;

/** Runs the attacks; the returned number is the exit code. */
export function attackNode(options: SecurityOptions): Promise<number> {
  return interruptible("attack a node", (signal) => attackAll(options, signal));
}

async function attackAll({ program, text, out }: SecurityOptions, signal: AbortSignal): Promise<number> {
  const texts = text.split("|");
  const chosen = ATTACKS.filter((attack) => texts.some((each) => lineOf(attack).includes(each)));
  const scratch = await mkdtemp(join(tmpdir(), "blazar-security-"));
  const built = artifacts();
  const node = await PrivateNode.start({
    program,
    containerd: built.containerd?.bin ?? "",
    prefix: "blazar-security-node-",
    config: { daemon: { log_level: "warn" } },
  });
  const hostile = new Hostile(node);
  try {
    await node.containerd.importImage(await busyboxImage(IMAGE, built.busybox));
    const innocents = await Innocents.start(node, IMAGE, INNOCENTS);
    const { median: usual } = await innocents.during(() => Promise.resolve(), USUAL_EXECS);
    out.write(`without an attack an exec takes ${usual.toFixed(0)} ms\n`);
    const inGuest = (pod: string, script: string): Promise<string> =>
      shellInGuest(node, program, pod, script);
    const ground: Ground = { node, program, scratch, inGuest, signal, hostile: () => hostile.fresh() };
    let succeeded = 0;
    for (const attack of chosen) {
      signal.throwIfAborted();
      const { result, median } = await innocents.during(() => outcomeOf(attack, ground), LEAST_EXECS);
      const slow = median > MOST_TIMES * usual ? `execs of others take ${median.toFixed(0)} ms` : undefined;
      const got = result ?? (await innocents.lost()) ?? slow;
      if (got !== undefined) succeeded++;
      out.write(
        `${got === undefined ? "held" : "FAILED"}  ${lineOf(attack)} (execs ${median.toFixed(0)} ms)\n`,
      );
      if (got !== undefined) out.write(`        ${got}\n`);
      await hostile.remove();
    }
    out.write(`${chosen.length} attacks, ${succeeded} succeeded\n`);
    return succeeded === 0 && chosen.length > 0 ? 0 : 1;
  } finally {
    await node.stop();
    await rm(scratch, { recursive: true, force: true });
  }
}

function lineOf({ by, name }: Attack): string {
  return `${by}: ${name}`;
}

async function outcomeOf(attack: Attack, ground: Ground): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`it took more than ${ATTACK_SECONDS} s`), ATTACK_SECONDS * 1000);
  });
  try {
    return await Promise.race([attack.tryIt(ground), late]);
  } catch (error) {
    return `something else went wrong: ${reasonOf(error)}`;
  } finally {
    clearTimeout(timer);
  }
}

/** The pod that attacks come from. */
class Hostile {
  private current: { readonly pod: string; readonly container: string } | undefined;
  private number = 0;

  constructor(private readonly node: PrivateNode) {}

  async fresh(): Promise<{ readonly pod: string; readonly container: string }> {
    await this.remove();
    const { cri, directory } = this.node;
    const name = `hostile${this.number++}`;
    const logDirectory = join(directory, "logs", name);
    await mkdir(logDirectory, { recursive: true });
    const config = hostNetworkPod(name, { logDirectory });
    const pod = await cri.runPodSandbox(config, "blazar");
    const spec = {
      metadata: { name, attempt: 0 },
      image: { image: IMAGE },
      command: ["/bin/sleep", "1000000"],
      logPath: "log",
    };
    const container = await cri.createContainer(pod, spec, config);
    await cri.startContainer(container);
    this.current = { pod, container };
    return this.current;
  }

  /** Whatever state it is in: that it can be removed is part of what has to hold. */
  async remove(): Promise<void> {
    const { current } = this;
    this.current = undefined;
    if (current !== undefined) await removePod(this.node.cri, current.pod);
  }
}

async function shellInGuest(
  node: PrivateNode,
  program: string,
  pod: string,
  script: string,
): Promise<string> {
  const socket = ["--address", node.inspectionSocket];
  const words = [
    "timeout",
    "20",
    process.execPath,
    program,
    "exec",
    ...socket,
    pod,
    "--",
    "sh",
    "-c",
    script,
  ];
  const { stdout, stderr } = await runToEnd(words);
  return stdout + stderr;
}
