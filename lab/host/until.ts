/**
 * Asking again and again until there is an answer: for what gives no event, such as a log file or another program.
 */
import { blazarError } from "../../src/contracts/errors.ts";
import { pause } from "../../src/lib/async.ts";
import { patient } from "./patience.ts";

/** How long to ask, and how often. */
export interface Patience {
  readonly timeoutMs: number;
  readonly pollMs: number;
  /** Ends the waiting early, by throwing the signal's reason. */
  readonly signal?: AbortSignal;
}

const DEFAULT: Patience = { timeoutMs: 60_000, pollMs: 20 };

/**
 * Asks until the answer is not undefined. Throws what `ask` throws, or DeadlineExceeded naming what was waited for.
 * @param what for the error: `"the end of container c1"`
 * @param patience by default 60 s, asking every 20 ms
 */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  patience: Partial<Patience> = {},
): Promise<T> {
  const { pollMs, signal, ...given } = { ...DEFAULT, ...patience };
  const timeoutMs = patient(given.timeoutMs);
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    signal?.throwIfAborted();
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline)
      throw blazarError("DeadlineExceeded", `wait for ${what}`, `it has not come within ${timeoutMs} ms`);
    await pause(pollMs, signal);
  }
}
