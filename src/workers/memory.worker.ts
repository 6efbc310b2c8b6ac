/**
 * Worker entry: copies a template's memory into a file that nobody can write to.
 *
 * The file is a sealed memfd (memfd_create(2), F_ADD_SEALS of fcntl(2)). Another process may open and map it, but cannot
 * change its bytes or its size. Its descriptor belongs to the process and outlives the task and its thread. Holes of the
 * template stay holes.
 */
import { closeSync, fstatSync, ftruncateSync, openSync } from "node:fs";
import { blazarError } from "../contracts/errors.ts";
import {
  addSeals,
  closeDescriptor,
  copyRange,
  describeErrno,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  memoryFile,
  nextData,
} from "./libc/libc.ts";
import { type Outcome, settle } from "./outcome.ts";

const SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
const OPERATION = "copy a template into memory";

export interface SealMemory {
  readonly file: string;
}

/** Returns the descriptor of a sealed copy. */
export function sealMemory({ file }: SealMemory): Outcome<{ readonly fd: number }> {
  return settle("HostResource", OPERATION, file, () => {
    const from = openSync(file, "r");
    try {
      return { fd: sealedCopy(from, file) };
    } finally {
      closeSync(from);
    }
  });
}

function sealedCopy(from: number, file: string): number {
  const fd = memoryFile("blazar-template");
  check(fd < 0 ? -fd : 0, file);
  try {
    ftruncateSync(fd, fstatSync(from).size);
    copyData(from, fd, file);
    check(addSeals(fd, SEALS), file);
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

function copyData(from: number, to: number, file: string): void {
  for (let offset = 0; ; ) {
    const data = nextData(from, offset);
    if (data === undefined) return;
    if (typeof data === "number") return check(-data, file);
    check(copyRange(from, to, data.start, data.end), file);
    offset = data.end;
  }
}

function check(errno: number, file: string): void {
  if (errno === 0) return;
  const remedy = "check whether the host has enough free memory";
  throw blazarError("HostResource", OPERATION, describeErrno(errno), { subject: file, remedy });
}

/** The tasks by name, as the pool calls them. */
export type MemoryTasks = { readonly sealMemory: typeof sealMemory };
