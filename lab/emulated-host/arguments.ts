/**
 * The command line of `npm run lab -- host`, checked before anything is started.
 */
import { availableParallelism, totalmem } from "node:os";
import { resolve } from "node:path";
import { misuse } from "../../src/contracts/misuse.ts";
import { parseSize } from "../../src/lib/sizes.ts";

/** What of the machine runs as the emulated one's PID 1. */
export type HostKind = "plain" | "systemd";

/** What is asked for. */
export interface HostRequest {
  readonly kind: HostKind;
  readonly memoryBytes: number;
  readonly cpus: number;
  /** A directory of the machine that the command may write to; undefined = none. */
  readonly output: string | undefined;
  /** The console goes to stderr. */
  readonly verbose: boolean;
  readonly bootMs: number;
  readonly command: readonly string[];
}

/** As commander gives them. */
export interface HostFlags {
  readonly systemd?: boolean;
  readonly memory?: string;
  readonly cpus?: string;
  readonly output?: string;
  readonly verbose?: boolean;
  readonly bootDeadline?: string;
}

const GIBIBYTE = 2 ** 30;
const DEFAULT_MEMORY = 8 * GIBIBYTE;
const LEAST_MEMORY = GIBIBYTE / 2;
const MOST_CPUS = 64;
/** How long an emulated host may take until its command runs; ten times what it takes on two quiet cores. */
export const BOOT_SECONDS: Readonly<Record<HostKind, number>> = { plain: 60, systemd: 300 };
const MOST_BOOT_SECONDS = 3600;
const SHELL = ["sh", "-c", "command -v bash > /dev/null && exec bash; exec sh -i"];

/** @throws BlazarError InvalidArgument naming the option that is wrong */
export function readHostRequest(flags: HostFlags, command: readonly string[]): HostRequest {
  const kind = flags.systemd === true ? "systemd" : "plain";
  const deadline = flags.bootDeadline ?? `${BOOT_SECONDS[kind]}`;
  return {
    kind,
    memoryBytes: memory(flags.memory),
    cpus: whole("--cpus", flags.cpus ?? `${availableParallelism()}`, MOST_CPUS),
    output: flags.output === undefined ? undefined : resolve(flags.output),
    verbose: flags.verbose === true,
    bootMs: whole("--boot-deadline", deadline, MOST_BOOT_SECONDS) * 1000,
    command: command.length === 0 ? SHELL : command,
  };
}

/** By default 8 GiB, of which it takes what it uses; on a small machine three quarters of what there is. */
function memory(given: string | undefined): number {
  if (given === undefined) return Math.min(DEFAULT_MEMORY, Math.floor((totalmem() / 4) * 3));
  const bytes = parseSize(given);
  if (bytes === undefined) throw misuse(`"${given}" is not a size such as 4G`, { subject: "--memory" });
  if (bytes < LEAST_MEMORY) throw misuse(`${given} is too little; it needs 512M`, { subject: "--memory" });
  return bytes;
}

function whole(subject: string, given: string, most: number): number {
  const number = Number(given);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw misuse(`"${given}" is not a whole number from 1 to ${most}`, { subject });
}
