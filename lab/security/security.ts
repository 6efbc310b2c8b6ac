/**
 * `npm run test:security`: attacks on a private node, with innocent pods beside that are checked for every byte and for how long
 * their execs take.
 *
 * An attack is one of attacks/; each is bounded in time and count. One throws what nobody expected, and counts as a success
 * of the attacker. What is done to a process or a file is done to the node's own.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { artifacts } from "../../setup/steps/artifacts.ts";
import { reasonOf } from "../../src/contracts/errors.ts";
import { within } from "../../src/lib/async.ts";
import { interruptible } from "../host/interruption.ts";
import { runToEnd } from "../host/program.ts";
import { busyboxImage } from "../images/busybox.ts";
import type { ImageSpec } from "../images/image-builder.ts";
import { PrivateNode } from "../node/private-node.ts";
import { runtimeOfBlazard } from "../node/unit-runtime.ts";
import type { Attack, Ground } from "./attack.ts";
import { AGENTS } from "./attacks/agents.ts";
import { CLIENTS } from "./attacks/clients.ts";
import { CONTAINERS } from "./attacks/containers.ts";
import { ESCAPED } from "./attacks/escaped.ts";
import { LOCAL_USERS } from "./attacks/local-users.ts";
import { OPERATORS } from "./attacks/operators.ts";
import { RESOURCES } from "./attacks/resources.ts";
import { Hostile } from "./hostile.ts";
import { Innocents } from "./innocents.ts";
import { buildPrograms, type Programs } from "./programs.ts";

const ATTACKS: readonly Attack[] = [
  ...OPERATORS,
  ...CLIENTS,
  ...LOCAL_USERS,
  ...ESCAPED,
  ...RESOURCES,
  ...AGENTS,
  ...CONTAINERS,
];

export interface SecurityOptions {
  /** The bundled product, `dist/blazar.mjs`. */
  readonly program: string;
  /** Only attacks with this in their line of the table; with `|` between, with one of several. */
  readonly text: string;
  readonly out: Pick<NodeJS.WritableStream, "write">;
}

const IMAGE = "localhost/blazar/security:latest";
const INNOCENTS = 2;
/** Execs just before an attack and just after it, by which the time without one is known, and the least with one. */
const USUAL_EXECS = 9;
const LEAST_EXECS = 9;
const MOST_TIMES = 2;
/** A machine on which others work as well has slow moments. An attack that makes execs slow does so twice of three times. */
const TRIES = 3;
const SLOW_TRIES = 2;
/** An attack that takes longer is cut off, and has succeeded. So has one after which its pod cannot be removed. */
const ATTACK_MS = 150_000;
const REMOVAL_MS = 60_000;

/** Runs the attacks; the returned number is the exit code. */
export function attackNode(options: SecurityOptions): Promise<number> {
  return interruptible("attack a node", (signal) => attackAll(options, signal));
}

async function attackAll({ program, text, out }: SecurityOptions, signal: AbortSignal): Promise<number> {
  const texts = text.split("|");
  const chosen = ATTACKS.filter((attack) => texts.some((each) => lineOf(attack).includes(each)));
  const programs = await buildPrograms();
  const scratch = await mkdtemp(join(tmpdir(), "blazar-security-"));
  const built = artifacts();
  const node = await PrivateNode.start({
    program,
    containerd: built.containerd?.bin ?? "",
    prefix: "blazar-security-node-",
    // as it is installed: what a flood may make it grow by depends on the unit's options
    node: await runtimeOfBlazard(scratch),
    config: { daemon: { log_level: "warn" } },
  });
  try {
    await node.containerd.importImage(await hostileImage(await busyboxImage(IMAGE, built.busybox), programs));
    const innocents = await Innocents.start(node, IMAGE, INNOCENTS);
    const hostile = new Hostile(node, IMAGE);
    const ground: Ground = {
      ...{ node, program, programs, scratch, signal },
      get hostile() {
        return hostile.pod;
      },
      blazar: (words, until) => blazar(node, program, words, until),
    };
    let succeeded = 0;
    for (const attack of chosen) {
      signal.throwIfAborted();
      const { got, figures } = await outcomeOf(attack, ground, innocents, hostile);
      if (got !== undefined) succeeded++;
      out.write(`${got === undefined ? "held" : "FAILED"}  ${lineOf(attack)} (${figures})\n`);
      if (got !== undefined) out.write(`        ${got}\n`);
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

interface Outcome {
  /** What the attacker got, or what others suffered. */
  readonly got: string | undefined;
  readonly figures: string;
}

/** What comes of an attack, which is tried again if execs of others were slow. */
async function outcomeOf(
  attack: Attack,
  ground: Ground,
  innocents: Innocents,
  hostile: Hostile,
): Promise<Outcome> {
  const figures: string[] = [];
  let slow = 0;
  for (let round = 0; round < TRIES; round++) {
    const { got, usual, median } = await tryOnce(attack, ground, innocents, hostile);
    figures.push(`execs ${median.toFixed(0)} ms, without ${usual.toFixed(0)} ms`);
    const harm = got ?? (await innocents.lost());
    if (harm !== undefined) return { got: harm, figures: figures.join("; ") };
    if (median <= MOST_TIMES * usual) break;
    slow++;
    if (slow === SLOW_TRIES) return { got: "execs of others are slow", figures: figures.join("; ") };
  }
  return { got: undefined, figures: figures.join("; ") };
}

async function tryOnce(attack: Attack, ground: Ground, innocents: Innocents, hostile: Hostile) {
  if (attack.withoutPod !== true) await hostile.make();
  const before = await innocents.usual(USUAL_EXECS);
  const { result, median } = await innocents.during(() => boundedTry(attack, ground), LEAST_EXECS);
  const removed = await within(
    hostile.remove().then(() => "", reasonOf),
    REMOVAL_MS,
  );
  const after = await innocents.usual(USUAL_EXECS);
  const stays = removed === "" ? undefined : `its pod cannot be removed: ${removed ?? "that takes too long"}`;
  return { got: result ?? stays, usual: Math.max(before, after), median };
}

async function boundedTry(attack: Attack, ground: Ground): Promise<string | undefined> {
  const tried = attack.tryIt(ground).then(
    (got) => ({ got }),
    (error: unknown) => ({ got: `something else went wrong: ${reasonOf(error)}` }),
  );
  const ended = await within(tried, ATTACK_MS);
  return ended === undefined ? `it took more than ${ATTACK_MS / 1000} s` : ended.got;
}

async function hostileImage(image: ImageSpec, { impostor }: Programs): Promise<ImageSpec> {
  const layer = [{ path: "impostor", content: await readFile(impostor), mode: 0o755 }];
  return { ...image, layers: [...image.layers, layer] };
}

async function blazar(
  node: PrivateNode,
  program: string,
  words: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const [command = "", ...rest] = words;
  const whole = [process.execPath, program, command, "--address", node.inspectionSocket, ...rest];
  const { stdout, stderr } = await runToEnd(
    ["timeout", "90", ...whole],
    signal === undefined ? {} : { signal },
  );
  return stdout + stderr;
}
