/**
 * Sets a guest's wall clock by what it answers, as an NTP client would (RFC 5905, on-wire protocol), one exchange at
 * a time.
 *
 * A clone wakes with its template's clock, and the time that comes with the set-up is as old as the guest is slow to
 * read it: tens of milliseconds under emulation. The guest may answer anything: rounds are bounded, nothing depends
 * on the outcome but its own clock.
 */
import type { Logger } from "../../contracts/logger.ts";

/** How far off a clock may be at most, the uncertainty of its reading included, in milliseconds. */
export const CLOCK_TOLERANCE_MS = 10;
const MAX_ROUNDS = 8;

export interface ClockPorts {
  /** Moves the guest's clock by so many milliseconds, and returns what it says then (milliseconds since the epoch). */
  readonly adjust: (by: number) => Promise<number>;
  /** The host's clock, milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Pick<Logger, "debug" | "warn">;
}

/** A reading of the guest's clock, made at some time between a question and its answer. Milliseconds since the epoch. */
export interface ClockExchange {
  readonly asked: number;
  readonly guest: number;
  readonly answered: number;
}

/**
 * Adjusts until the guest's clock is known to be within the tolerance. Rejects with what `adjust` rejects with.
 * @param first what is known already, from an answer to something else
 */
export async function synchronizeClock(
  { adjust, now, logger }: ClockPorts,
  first?: ClockExchange,
): Promise<void> {
  const ask = async (by: number): Promise<ClockExchange> => {
    const asked = now();
    return { asked, guest: await adjust(by), answered: now() };
  };
  let by = 0;
  let offset = 0;
  let uncertainty = 0;
  for (let round = 1; round <= MAX_ROUNDS; round++) {
    const { asked, guest, answered } = round === 1 && first !== undefined ? first : await ask(by);
    offset = guest - (asked + answered) / 2;
    uncertainty = (answered - asked) / 2;
    if (Math.abs(offset) + uncertainty <= CLOCK_TOLERANCE_MS) {
      logger.debug({ offset, uncertainty, rounds: round }, "the guest's clock is right; in ms");
      return;
    }
    // what is within the uncertainty may be the way's fault and not the clock's
    by = Math.abs(offset) > uncertainty ? -Math.round(offset) : 0;
  }
  logger.warn(
    { offset, uncertainty },
    "the guest's clock could not be set exactly; in ms: the node is busy, or the guest misbehaves",
  );
}
