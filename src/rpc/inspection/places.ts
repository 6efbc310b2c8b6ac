/**
 * How many calls the inspection socket serves at once: each takes a place, and one that finds none is refused.
 *
 * A stream's bounds are of no use where anybody may open thousands of streams. A call keeps its place until its reader has taken
 * all of the answer, or has gone: an answer that nobody reads stays in memory as well.
 */
import { blazarError } from "../../contracts/errors.ts";

/** The part of a server's call that is needed. grpc-js emits `cancelled` whenever a call's stream is closed. */
export interface PlacedCall {
  readonly cancelled: boolean;
  once(event: "cancelled", listener: () => void): unknown;
}

export class Places {
  private taken = 0;

  /** @param what is counted, for the sentence of a refusal */
  constructor(
    private readonly most: number,
    private readonly what: string,
  ) {}

  /** @throws BlazarError `ResourceExhausted` */
  takeFor(call: PlacedCall): void {
    if (call.cancelled) return;
    if (this.taken >= this.most) {
      const reason = `there are ${this.most} ${this.what} already, the most there may be`;
      const remedy = "end commands and programs that ask this daemon, such as blazar ps -w, events -f and ui";
      throw blazarError("ResourceExhausted", "serve a call of the inspection socket", reason, { remedy });
    }
    this.taken += 1;
    call.once("cancelled", () => {
      this.taken -= 1;
    });
  }
}
