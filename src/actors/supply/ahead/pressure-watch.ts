/**
 * Looks at the host's memory pressure every few seconds (PSI, proc(5): /proc/pressure/memory) and tells when it is too high.
 */
const INTERVAL_MS = 5_000;

export interface PressureLimit {
  /** Percent of the last ten seconds in which memory was waited for. */
  readonly pressureLimit: number;
  /** Undefined where the kernel does not tell. */
  readonly pressure: () => Promise<number | undefined>;
}

export class PressureWatch {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly limit: PressureLimit,
    private readonly onPressure: () => void,
  ) {}

  start(): void {
    this.timer = setInterval(() => void this.look(), INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async look(): Promise<void> {
    const pressure = await this.limit.pressure();
    if (pressure !== undefined && pressure > this.limit.pressureLimit) this.onPressure();
  }
}
