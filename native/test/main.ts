/**
 * The test program of the native runtime; test/integration/native.test.ts runs it as `native-test DIRECTORY`.
 *
 * Needs root. Any other first argument plays one scene, for behaviour that ends or replaces the process.
 */
import * as std from "std";
import * as sys from "sys";
import "./arguments.ts";
import "./files.ts";
import "./mounts.ts";
import "./served.ts";
import "./processes.ts";
import "./privileges.ts";
import "./sockets.ts";
import "./text.ts";
import "./loop.ts";
import "./resilience.ts";
import { cloneChild } from "../runtime/child.ts";
import { listDirectory, readTextIfPresent } from "../runtime/files.ts";
import { loop, runTests } from "./harness.ts";

const scene = scriptArgs[1] ?? "";
const restarts = Number(std.getenv("BLAZAR_ENGINE_RESTARTS") ?? "-1");

if (scene === "--throw") {
  throw new Error("thrown at top level");
} else if (scene === "--throw-in-tick") {
  let ticks = 0;
  sys.setTick(() => {
    if (++ticks === 12) sys.setTick(null);
    throw new Error(`thrown in tick ${ticks}`);
  });
} else if (scene === "--supervised") {
  print(`engine ${restarts} is pid ${sys.getpid()}, child of ${sys.getppid()}`);
  std.out.flush();
  if (restarts === 0) sys.kill(sys.getpid(), sys.SIGSEGV);
  if (restarts === 1) sys._exit(9);
  orphanAChild();
  loop.setTimer(100, () => {
    print(`zombies: ${zombies()}`);
    loop.stop();
  });
  loop.start();
} else {
  loop.start();
  void runTests();
}

/** A grandchild that outlives its parent becomes PID 1's, which must reap it. */
function orphanAChild(): void {
  cloneChild({}, () => {
    cloneChild({}, () => sys.poll1(-1, 0, 10));
    return 0;
  });
}

/** Ended processes that nobody has reaped. */
function zombies(): number {
  const pids = listDirectory("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => readTextIfPresent(`/proc/${pid}/stat`)?.includes(") Z ")).length;
}
