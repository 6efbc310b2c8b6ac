/**
 * Two ends of a byte link in memory: the host's is a {@link ByteLink}, the guest's feeds a fake guest.
 *
 * Bytes travel by the scheduler, in order, and are copied, as a socket would. A link whose host end is closed carries
 * nothing more either way.
 */
import type { ByteLink } from "../../../src/contracts/vm.ts";
import type { GuestTransport } from "../fake-guest/guest.ts";

type Handlers = Parameters<ByteLink["open"]>[0];

export interface GuestEnd {
  receive(bytes: Uint8Array): void;
  detach(): void;
}

export class FakeByteLink implements ByteLink, GuestTransport {
  closed = false;
  private handlers: Handlers | undefined;
  /** What has come and nobody takes: there is no consumer yet, or it pauses. */
  private readonly early: Uint8Array[] = [];
  private paused = false;
  private error: Error | undefined;

  constructor(
    private readonly guest: GuestEnd,
    private readonly schedule: (callback: () => void) => void,
    private readonly onClosed: () => void,
  ) {}

  write(bytes: Uint8Array): boolean {
    if (this.closed) return false;
    const copy = bytes.slice();
    this.schedule(() => {
      if (!this.closed) this.guest.receive(copy);
    });
    return true;
  }

  open(handlers: Handlers): void {
    this.handlers = handlers;
    if (this.closed) return this.schedule(() => this.tell());
    this.deliverEarly();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.deliverEarly();
  }

  private deliverEarly(): void {
    if (this.early.length > 0) this.schedule(() => this.deliver());
  }

  private deliver(): void {
    while (!this.closed && !this.paused && this.handlers !== undefined) {
      const bytes = this.early.shift();
      if (bytes === undefined) return;
      this.handlers.onData(bytes);
    }
  }

  close(): void {
    this.end(undefined);
  }

  /** The guest's end. */
  send(bytes: Uint8Array): void {
    const copy = bytes.slice();
    this.schedule(() => {
      if (this.closed) return;
      this.early.push(copy);
      this.deliver();
    });
  }

  /** The link breaks, with an error or by a hang-up. */
  break(error?: Error): void {
    this.end(error);
  }

  /** The host's end is no more, and hears of nothing. */
  cut(): void {
    if (this.closed) return;
    this.closed = true;
    this.handlers = undefined;
    this.guest.detach();
    this.onClosed();
  }

  private end(error: Error | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.error = error;
    this.schedule(() => {
      this.guest.detach();
      this.onClosed();
      this.tell();
    });
  }

  private tell(): void {
    const { handlers } = this;
    this.handlers = undefined;
    handlers?.onClose(this.error);
  }
}
