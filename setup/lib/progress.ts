/**
 * Set-up's progress: a line when a step begins, its elapsed time while it lasts, a line when it ends.
 *
 * Everything goes to stderr, because stdout is for a command's own output (`npm run demo -- --json`). Must say nothing
 * about steps that have nothing to do.
 */

/** How often a long step says that it is still at it. */
const TICK_MS = 10_000;

/** Where progress goes. */
export interface Progress {
  /** One line of news. */
  line(text: string): void;
  /** A piece of work that takes a while: shown with its name and reason, then with its time. */
  during<T>(name: string, why: string, body: () => Promise<T>): Promise<T>;
}

/** Progress on a stream, by default stderr. */
export function streamProgress(stream: NodeJS.WritableStream = process.stderr): Progress {
  const line = (text: string): void => void stream.write(`${text}\n`);
  return {
    line,
    async during(name, why, body) {
      const started = performance.now();
      const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
      line(`▸ ${name}: ${why}`);
      const ticker = setInterval(() => line(`  … ${name}, ${seconds()} so far`), TICK_MS);
      try {
        const result = await body();
        line(`✓ ${name} (${seconds()})`);
        return result;
      } finally {
        clearInterval(ticker);
      }
    },
  };
}
