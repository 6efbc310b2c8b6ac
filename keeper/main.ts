/**
 * Entry of the keeper: arguments, signals, exit codes.
 *
 * SIGTERM ends a keeper that holds nothing. A keeper that still holds VMs or stdio stays and logs why: they would be lost
 * with it. A second SIGTERM within a second ends it nevertheless and leaves the VMs running.
 */
import * as std from "std";
import * as sys from "sys";
import { EventLoop } from "../native/runtime/event-loop.ts";
import { createLogger } from "../native/runtime/log.ts";
import { watchSignals } from "../native/runtime/signals.ts";
import { BlazarError } from "../src/contracts/errors.ts";
import { parseArguments } from "./arguments.ts";
import { Keeper } from "./keeper.ts";
import { MOST_SETS } from "./stdio/stdio.ts";
import {
  LEAST_CREDIT_BYTES,
  LEAST_INPUT_BYTES,
  MOST_EXTRA_BYTES,
  MOST_EXTRA_INPUT_BYTES,
} from "./stdio/stdio-credit.ts";
import { MOST_TASK_BYTES } from "./tasks/task-budget.ts";

const INSIST_MS = 1_000;
/**
 * What streams and requests may hold (stdio-credit.ts, task-budget.ts), and as much again for the rest: processes, objects,
 * garbage; and what every stream may hold in any case, where nobody reads any of them. It is a last resort, since nobody survives it.
 */
const MEMORY_LIMIT_BYTES =
  2 * (MOST_EXTRA_BYTES + MOST_EXTRA_INPUT_BYTES + MOST_TASK_BYTES) +
  MOST_SETS * (LEAST_INPUT_BYTES + 2 * LEAST_CREDIT_BYTES);
const PRIVATE_UMASK = 0o077;
const EXIT_USAGE = 2;
const EXIT_FAILED = 1;

function run(): void {
  const { control, task, socketMode } = parseArguments(scriptArgs.slice(1));
  sys.setMemoryLimit(MEMORY_LIMIT_BYTES);
  sys.umask(PRIVATE_UMASK);
  sys.ignoreSignal(sys.SIGHUP);
  const log = createLogger("keeper");
  const loop = new EventLoop({ logger: log });
  const keeper = new Keeper({
    version: BLAZAR_VERSION,
    control,
    task,
    socketMode,
    loop,
    log,
    onEnd: () => {
      log.info("the keeper ends");
      loop.stop();
    },
  });
  let asked = Number.NEGATIVE_INFINITY;
  watchSignals(loop, [sys.SIGTERM, sys.SIGINT], (signal) => {
    const insisted = loop.now() - asked < INSIST_MS;
    asked = loop.now();
    if (keeper.holding === "" || insisted) return keeper.end();
    log.warn(`signal ${signal}: not ending, ${keeper.holding}`, {
      remedy: "stop the pods first, or send the signal twice within a second to leave the VMs alone",
    });
  });
  loop.start();
  log.info("the keeper is ready", { pid: sys.getpid(), control, task });
}

try {
  run();
} catch (error) {
  if (!(error instanceof BlazarError)) throw error;
  std.err.puts(`keeper: ${error.message}\n`);
  std.err.flush();
  std.exit(error.details.operation === "read the command line" ? EXIT_USAGE : EXIT_FAILED);
}
