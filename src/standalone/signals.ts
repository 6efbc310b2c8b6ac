/**
 * Signals to a standalone run (signal(7)): the command's while it runs, ours before and after.
 *
 * Before the command runs, a signal gives the run up; while it runs, each one is passed on, and the third within
 * three seconds kills a command that will not listen; while cleaning up, they are ignored, because cleaning up
 * ends by itself. So nothing is left behind, however impatient the operator.
 */
import { constants } from "node:os";

const PASSED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
const ENDING: ReadonlySet<NodeJS.Signals> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);
const IMPATIENT_SIGNALS = 3;
const IMPATIENT_MS = 3_000;
const SIGKILL = 9;

/** Who gets the signals of this process. Made, it owns them until {@link close}. */
export class RunSignals {
  private readonly abort = new AbortController();
  private readonly listeners: (readonly [NodeJS.Signals, () => void])[];
  private readonly recent: number[] = [];
  private target: ((signal: number) => void) | undefined;
  private cleaning = false;
  private received: NodeJS.Signals | undefined;

  constructor() {
    this.listeners = PASSED.map((name) => [name, () => this.receive(name)] as const);
    for (const [name, listener] of this.listeners) process.on(name, listener);
  }

  /** Aborts when a signal has given up a run whose command has not started. */
  get aborted(): AbortSignal {
    return this.abort.signal;
  }

  /** What a shell would say of a run that was given up: 128 + the signal's number. */
  get exitCode(): number {
    return 128 + (this.received === undefined ? 0 : constants.signals[this.received]);
  }

  /** The command runs: from now on signals are its. */
  passTo(target: (signal: number) => void): void {
    this.target = target;
  }

  /** The command has ended: signals mean nothing any more. */
  ignore(): void {
    this.cleaning = true;
  }

  close(): void {
    for (const [name, listener] of this.listeners) process.off(name, listener);
  }

  private receive(name: NodeJS.Signals): void {
    if (this.cleaning) return;
    if (this.target !== undefined)
      return this.target(this.isImpatient(name) ? SIGKILL : constants.signals[name]);
    if (!ENDING.has(name)) return;
    this.received = name;
    this.abort.abort();
  }

  private isImpatient(name: NodeJS.Signals): boolean {
    if (!ENDING.has(name)) return false;
    const now = performance.now();
    this.recent.push(now);
    while ((this.recent[0] ?? now) < now - IMPATIENT_MS) this.recent.shift();
    return this.recent.length >= IMPATIENT_SIGNALS;
  }
}
