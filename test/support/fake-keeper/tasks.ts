/** A Task connection of a fake keeper: calls that no daemon has answered wait for the next one. */
import type { TaskMessageHandler } from "../../../src/contracts/keeper.ts";

interface Call {
  readonly message: Uint8Array;
  readonly resolve: (answer: Uint8Array) => void;
  /** Handed to the daemon that is there now. */
  handed: boolean;
  /** An earlier daemon was there when it came. */
  replayed: boolean;
}

export class FakeTaskConnection {
  private readonly calls = new Set<Call>();
  private readonly abort = new AbortController();
  private handler: TaskMessageHandler | undefined;

  constructor(
    readonly number: number,
    private readonly onClose: (connection: FakeTaskConnection) => void,
  ) {}

  /** Calls without an answer. */
  get pending(): number {
    return this.calls.size;
  }

  /** containerd sends a request: resolves with the answer, from whichever daemon. */
  call(message: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve) => {
      const call = { message, resolve, handed: false, replayed: false };
      this.calls.add(call);
      this.hand(call);
    });
  }

  /** containerd hangs up. */
  close(): void {
    this.calls.clear();
    this.abort.abort();
    this.onClose(this);
  }

  serve(handler: TaskMessageHandler): void {
    this.handler = handler;
    for (const call of this.calls) this.hand(call);
  }

  unserved(): void {
    this.handler = undefined;
    for (const call of this.calls) {
      call.handed = false;
      call.replayed = true;
    }
  }

  private hand(call: Call): void {
    const { handler } = this;
    if (handler === undefined || call.handed) return;
    call.handed = true;
    const { replayed } = call;
    handler(call.message, { connection: this.number, replayed, signal: this.abort.signal }).then(
      (answer) => {
        if (this.handler === handler && this.calls.delete(call)) call.resolve(answer);
      },
      () => undefined,
    );
  }
}
