/**
 * Signals to a standalone run (signal(7)).
 *
 * Before the command runs, a signal calls the run off. While it runs, signals are passed on; the third within three
 * seconds becomes SIGKILL. If even that is not obeyed, the guest hangs, and the run is given up. During the clean-up
 * signals are ignored: it ends by itself, and so nothing is left behind.
 */
import { constants } from "node:os";
import { SIGKILL, signalStatus } from "../lib/signals.ts";

const PASSED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
const ENDING: ReadonlySet<NodeJS.Signals> = new Set(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);
const IMPATIENT_SIGNALS = 3;
const IMPATIENT_MS = 3_000;
/** How long the command may take to end after SIGKILL. */
const KILLED_MS = 5_000;

/** Owns the signals of this process from its construction until {@link close}; a run keeps them until the process ends. */
export class RunSignals {
  private readonly abort = new AbortController();
  private readonly giveUp = new AbortController();
  private patience: NodeJS.Timeout | undefined;
  private readonly listeners: (readonly [NodeJS.Signals, () => void])[];
  private readonly recent: number[] = [];
  private target: ((signal: number) => void) | undefined;
  private cleaning = false;
  private received: NodeJS.Signals | undefined;

  constructor() {
    this.listeners = PASSED.map((name) => [name, () => this.receive(name)] as const);
    for (const [name, listener] of this.listeners) process.on(name, listener);
  }

  /** Aborts when a signal comes before the command has started. */
  get aborted(): AbortSignal {
    return this.abort.signal;
  }

  /** Aborts when the command is there some seconds after its SIGKILL: its guest does not answer. */
  get unanswered(): AbortSignal {
    return this.giveUp.signal;
  }

  /** The exit code of a run that was called off, as of a command that the signal has ended. */
  get exitCode(): number {
    return signalStatus(this.received === undefined ? 0 : constants.signals[this.received]);
  }

  /** The command runs: from now on it gets the signals. */
  passTo(target: (signal: number) => void): void {
    this.target = target;
  }

  /** The command has ended: from now on signals are ignored. */
  ignore(): void {
    this.cleaning = true;
    clearTimeout(this.patience);
  }

  close(): void {
    clearTimeout(this.patience);
    for (const [name, listener] of this.listeners) process.off(name, listener);
  }

  private receive(name: NodeJS.Signals): void {
    if (this.cleaning) return;
    if (this.target !== undefined) return this.pass(name, this.target);
    if (!ENDING.has(name)) return;
    this.received = name;
    this.abort.abort();
  }

  private pass(name: NodeJS.Signals, target: (signal: number) => void): void {
    const impatient = this.isImpatient(name);
    if (impatient) this.patience ??= setTimeout(() => this.giveUp.abort(), KILLED_MS);
    target(impatient ? SIGKILL : constants.signals[name]);
  }

  private isImpatient(name: NodeJS.Signals): boolean {
    if (!ENDING.has(name)) return false;
    const now = performance.now();
    this.recent.push(now);
    while ((this.recent[0] ?? now) < now - IMPATIENT_MS) this.recent.shift();
    return this.recent.length >= IMPATIENT_SIGNALS;
  }
}
