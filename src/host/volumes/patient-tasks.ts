/**
 * Tasks that may never end, because somebody else has to answer: a volume's server, which a pod's author may run.
 *
 * The tasks of one owner run one after the other, so that what does not answer one owner holds one thread at most. Whoever has asked
 * waits for so long and no longer; the task goes on, and what comes after it from the same owner waits in vain as well.
 * A task that is overdue does not count among those that may run at once, so the others go on in another thread.
 */
import { blazarError } from "../../contracts/errors.ts";
import { within } from "../../lib/async.ts";

export interface PatientTasksOptions {
  /** So many run at once, beside those that are overdue. */
  readonly atOnce: number;
  /** Milliseconds that one waits for its task, its turn included. */
  readonly deadlineMs: number;
}

/** A task that takes longer is overdue: a server that works answers in milliseconds. */
const OVERDUE_MS = 1_000;
/** Of one owner: more would wait in vain. */
const MOST_WAITING = 32;

interface Lane {
  waiting: number;
  last: Promise<unknown>;
}

export class PatientTasks {
  private readonly lanes = new Map<string, Lane>();
  private readonly turns: (() => void)[] = [];
  private free: number;

  constructor(private readonly options: PatientTasksOptions) {
    this.free = options.atOnce;
  }

  /**
   * @param owner whose tasks run one after the other
   * @param subject what may not answer, for the error
   * @throws BlazarError DeadlineExceeded; what the task throws
   */
  async run<T>(owner: string, subject: string, task: () => Promise<T>): Promise<T> {
    const lane = this.lanes.get(owner) ?? { waiting: 0, last: Promise.resolve() };
    if (lane.waiting >= MOST_WAITING) throw noAnswer(subject, "others of its pod wait for an answer already");
    this.lanes.set(owner, lane);
    lane.waiting++;
    let isGivenUp = false;
    const done = lane.last.then(async () => {
      if (isGivenUp) throw noAnswer(subject, "it has been given up");
      return { value: await this.inTurn(task) };
    });
    const settled = done.catch(() => undefined).then(() => this.leave(owner, lane));
    lane.last = settled;
    const { deadlineMs } = this.options;
    const answer = await within(done, deadlineMs);
    if (answer !== undefined) return answer.value;
    isGivenUp = true;
    throw noAnswer(subject, `it has not answered within ${deadlineMs} ms`);
  }

  private leave(owner: string, lane: Lane): void {
    lane.waiting--;
    if (lane.waiting === 0) this.lanes.delete(owner);
  }

  private async inTurn<T>(task: () => Promise<T>): Promise<T> {
    if (this.free === 0) await new Promise<void>((resolve) => this.turns.push(resolve));
    else this.free--;
    let counts = true;
    const giveTurn = (): void => {
      if (!counts) return;
      counts = false;
      const next = this.turns.shift();
      if (next === undefined) this.free++;
      else next();
    };
    const overdue = setTimeout(giveTurn, OVERDUE_MS);
    try {
      return await task();
    } finally {
      clearTimeout(overdue);
      giveTurn();
    }
  }
}

function noAnswer(subject: string, reason: string) {
  return blazarError("DeadlineExceeded", "look at a volume", reason, {
    subject,
    remedy: "look for its file system's server; only this pod waits for it",
  });
}
