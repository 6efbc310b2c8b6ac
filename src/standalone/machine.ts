/**
 * The options `--memory` and `--cpus` of commands that start a VM.
 */
import type { BlazarError } from "../contracts/errors.ts";
import { misuse } from "../contracts/misuse.ts";
import { parseSize } from "../lib/sizes.ts";
import { LEAST_MEMORY_BYTES } from "../vmm/common/spec.ts";

/** The size of a VM; what is undefined is as configured. */
export interface Machine {
  readonly vcpus: number | undefined;
  /** Bytes. */
  readonly memory: number | undefined;
}

const MOST_CPUS = 64;

/** Reads the options. Throws InvalidArgument naming the one that is wrong. */
export function readMachine(options: {
  readonly memory?: string | undefined;
  readonly cpus?: string | undefined;
}): Machine {
  return { vcpus: cpus(options.cpus), memory: memory(options.memory) };
}

function memory(given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const bytes = parseSize(given);
  if (bytes === undefined) throw invalid("--memory", `"${given}" is not a size such as 256M`);
  if (bytes < LEAST_MEMORY_BYTES)
    throw invalid("--memory", `${given} is too little for a guest; it needs 128M at least`);
  return bytes;
}

function cpus(given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const count = Number(given);
  if (!Number.isInteger(count) || count < 1 || count > MOST_CPUS)
    throw invalid("--cpus", `"${given}" is not a whole number from 1 to ${MOST_CPUS}`);
  return count;
}

function invalid(subject: string, reason: string): BlazarError {
  return misuse(reason, { subject });
}
