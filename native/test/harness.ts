/**
 * A small test harness for the native runtime: tests by group, one JSON line each on stdout.
 *
 * A line is `{"group": …, "test": …, "ok": true}`, or has `"ok": false` with `"error"`. A test that changes the whole
 * process (namespaces, privileges) runs `inChild`. Waits block or run in the loop, and have deadlines.
 */
import * as sys from "sys";
import { BlazarError, reasonOf } from "../../src/contracts/errors.ts";
import { check, checkValue } from "../runtime/check.ts";
import { ChildReaper, cloneChild } from "../runtime/child.ts";
import { EventLoop } from "../runtime/event-loop.ts";
import { writeAll } from "../runtime/files.ts";
import { decode, encode } from "../runtime/text-codec.ts";

const STDOUT = 1;
const DEADLINE_MS = 20_000;

/** The one loop of the test program, and its reaper. */
export const loop = new EventLoop();
export const reaper = new ChildReaper(loop);
/** A directory of the run's own, removed by whoever started it. */
export const scratch = scriptArgs[1] ?? "/tmp";

type Body = () => void | Promise<void>;
const tests: { group: string; name: string; body: Body }[] = [];

/** Declares a test. */
export function verify(group: string, name: string, body: Body): void {
  tests.push({ group, name, body });
}

/** Runs all tests one after the other and ends the program. */
export async function runTests(): Promise<void> {
  for (const { group, name, body } of tests) {
    const error = await attempt(body);
    const line = { group, test: name, ok: error === undefined, error };
    writeAll(STDOUT, encode(`${JSON.stringify(line)}\n`));
  }
  loop.stop();
}

async function attempt(body: Body): Promise<string | undefined> {
  try {
    await withDeadline(Promise.resolve().then(body));
    return undefined;
  } catch (error) {
    return error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : reasonOf(error);
  }
}

/** Rejects when the promise takes longer than a test may. */
export function withDeadline<T>(promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = loop.setTimer(DEADLINE_MS, () => reject(new Error("the deadline passed")));
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** Fails unless both have the same JSON. */
export function equal(actual: unknown, expected: unknown, what: string): void {
  const [a, b] = [show(actual), show(expected)];
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
}

/** Fails unless the condition holds. */
export function ok(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

/** Fails unless `body` throws an error of that name. */
export function throws(body: () => unknown, name: string, what: string): void {
  try {
    body();
  } catch (error) {
    equal(error instanceof Error ? error.name : error, name, what);
    return;
  }
  throw new Error(`${what}: nothing was thrown`);
}

function show(value: unknown): string {
  return (
    JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? `${each}n` : each)) ?? "undefined"
  );
}

/** Runs `body` in a child, in new namespaces if asked, and fails with the error that it threw. Blocks. */
export function inChild(body: () => void, flags = 0): void {
  const [reader, writer] = checkValue(sys.pipe2(0), "make a pipe");
  const pid = cloneChild({ flags }, () => {
    try {
      body();
      return 0;
    } catch (error) {
      writeAll(
        writer,
        encode(error instanceof Error ? `${error.message}\n${error.stack ?? ""}` : String(error)),
      );
      return 1;
    }
  });
  sys.close(writer);
  const text = readToEnd(reader);
  sys.close(reader);
  const [, code, signal] = sys.waitpid(pid, 0);
  if (code !== 0) throw new Error(`in the child (exit ${code}, signal ${signal}): ${text}`);
}

/** Reads a blocking descriptor to its end. */
export function readToEnd(fd: number): string {
  const buffer = new ArrayBuffer(4096);
  let text = "";
  for (;;) {
    const count = sys.read(fd, buffer, 0, buffer.byteLength);
    if (count <= 0) return text;
    text += decode(new Uint8Array(buffer, 0, count));
  }
}

/** Executes a program with its output caught, and waits. */
export function execute(path: string, ...args: string[]): { code: number; output: string } {
  const [reader, writer] = checkValue(sys.pipe2(0), "make a pipe");
  const pid = cloneChild({}, () => {
    sys.dup2(writer, STDOUT);
    sys.execve(path, [path, ...args], ["PATH=/bin:/usr/bin"]);
    return 127;
  });
  sys.close(writer);
  const output = readToEnd(reader);
  sys.close(reader);
  const [, code] = sys.waitpid(pid, 0);
  return { code, output };
}

/** Resolves in the loop, after a time. For waiting on purpose only (timers under test), never for luck. */
export function timer(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    loop.setTimer(milliseconds, resolve);
  });
}

/** The BlazarError that a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<BlazarError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof BlazarError) return error;
    throw error;
  }
  throw new Error("nothing was rejected");
}

export { check, checkValue };
