/**
 * The life of one daemon on a host in memory, which can end at any instant: what it holds of the host does nothing from then on.
 *
 * A dead daemon's promises still run in this process. Whatever it asks of the host is never answered and never done, and what
 * it had asked before is not answered either. Its timers are the test's to clear.
 */

const NEVER: Promise<never> = new Promise(() => undefined);

/** Calls that answer at once; a dead daemon may have the answers. */
const AT_ONCE: ReadonlySet<string | symbol> = new Set([
  ...["inventory", "ownBytes", "memoryLimit", "limitsOf", "killedForMemory", "subscribe"],
]);

/** What is behind a port that a life holds: it may be given to another port. */
const BARE = new WeakMap<object, object>();

function bare(given: unknown): unknown {
  return typeof given === "object" && given !== null ? (BARE.get(given) ?? given) : given;
}

export class Life {
  private over = false;
  private writesLeft = Number.POSITIVE_INFINITY;
  private callsLeft = Number.POSITIVE_INFINITY;

  constructor(private readonly onEnd: () => void = () => undefined) {}

  get isOver(): boolean {
    return this.over;
  }

  /** It ends before so many writes to journals more have been done; 0 = now. */
  endBeforeWrite(writes: number): void {
    this.writesLeft = writes;
    if (writes === 0) this.end();
  }

  /** It ends when so many more things have been asked of the host, in the middle of the last: it is done, and nobody hears of it. */
  endWithinCall(calls: number): void {
    this.callsLeft = calls;
  }

  end(): void {
    if (this.over) return;
    this.over = true;
    this.onEnd();
  }

  /** False if the daemon is dead by now, so that nothing is written. */
  mayWrite(): boolean {
    if (!this.over && this.writesLeft === 0) this.end();
    this.writesLeft -= 1;
    return !this.over;
  }

  /** The same port for as long as this life lasts. What its calls return is the same as well. */
  holding<Port extends object>(port: Port): Port {
    const held = new Proxy(port, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return isPort(value) ? this.holding(value) : value;
        return (...given: unknown[]): unknown => {
          if (this.over && !AT_ONCE.has(name)) return NEVER;
          return this.answer((value as (...given: unknown[]) => unknown).apply(target, given.map(bare)));
        };
      },
    });
    BARE.set(held, port);
    return held;
  }

  private answer(result: unknown): unknown {
    if (!(result instanceof Promise)) return result;
    if (this.callsLeft-- <= 0) this.end();
    return new Promise((resolve, reject) => {
      result.then(
        (value: unknown) => this.over || resolve(this.held(value)),
        (error: unknown) => this.over || reject(error),
      );
    });
  }

  private held(value: unknown): unknown {
    if (isPort(value)) return this.holding(value);
    if (!isPlain(value)) return value;
    const entries = Object.entries(value);
    // plain data stays as it is
    if (!entries.some(([, each]) => isPort(each))) return value;
    return Object.fromEntries(
      entries.map(([name, each]) => [name, isPort(each) ? this.holding(each) : each]),
    );
  }
}

/** Something that can be asked to do something. */
function isPort(value: unknown): value is object {
  if (typeof value !== "object" || value === null || value instanceof Promise) return false;
  if (isPlain(value)) return Object.values(value).some((each) => typeof each === "function");
  return !(value instanceof Map || value instanceof Set || value instanceof Date || Array.isArray(value));
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
