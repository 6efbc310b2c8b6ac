/**
 * Port-forward in memory: a test dials a pod's `localhost`, and holds the other end of the connection.
 */
import { blazarError } from "../../../src/contracts/errors.ts";
import type {
  ForwardedConnection,
  ForwardHandlers,
  PortForward,
  PortForwards,
} from "../../../src/contracts/port-forward.ts";

/** Both ends of a connection: the product has it as a {@link ForwardedConnection}, the test as whoever has dialled. */
export class MemoryConnection implements ForwardedConnection {
  /** What has come from the pod, as text. */
  received = "";
  /** The pod's side has ended. */
  ended = false;
  /** It was reset by the product. */
  wasReset = false;
  /** Whether the product reads. */
  reading = false;
  /** Bytes that nobody has read. */
  private readonly waiting: Uint8Array[] = [];
  private handlers: ForwardHandlers | undefined;
  private endWaits = false;
  private sentEnd = false;
  /** While it is set, what the product writes is not taken. */
  stuck: (() => void)[] | undefined;

  constructor(
    readonly family: 4 | 6,
    readonly port: number,
  ) {}

  open(handlers: ForwardHandlers): void {
    this.handlers = handlers;
  }

  read(on: boolean): void {
    this.reading = on;
    while (this.reading && this.handlers !== undefined) {
      const bytes = this.waiting.shift();
      if (bytes === undefined) break;
      this.handlers.data(bytes);
    }
    if (!this.reading || this.waiting.length > 0 || !this.endWaits) return;
    this.endWaits = false;
    this.sentEnd = true;
    this.handlers?.end();
    this.closeIfDone();
  }

  write(bytes: Uint8Array, done: () => void): void {
    this.received += Buffer.from(bytes).toString();
    this.taken(done);
  }

  end(done: () => void): void {
    this.ended = true;
    this.taken(() => {
      done();
      this.closeIfDone();
    });
  }

  reset(): void {
    this.wasReset = true;
    this.handlers = undefined;
  }

  /** Whoever has dialled sends bytes. */
  send(text: string | Uint8Array): void {
    this.waiting.push(typeof text === "string" ? Buffer.from(text) : text);
    this.read(this.reading);
  }

  /** Whoever has dialled has no more to send. */
  sendEnd(): void {
    this.endWaits = true;
    this.read(this.reading);
  }

  /** Whoever has dialled resets it. */
  break(): void {
    this.close(new Error("ECONNRESET"));
  }

  /** Takes what the product has written. */
  unstick(): void {
    const waiting = this.stuck ?? [];
    this.stuck = undefined;
    for (const done of waiting) done();
  }

  private taken(done: () => void): void {
    if (this.stuck !== undefined) this.stuck.push(done);
    else queueMicrotask(() => this.handlers !== undefined && done());
  }

  private closeIfDone(): void {
    if (this.ended && this.sentEnd) this.close();
  }

  private close(error?: Error): void {
    const { handlers } = this;
    this.handlers = undefined;
    handlers?.closed(error);
  }
}

export class MemoryForwards implements PortForwards {
  /** What `open` ends with. */
  fault: "HostResource" | "DependencyMissing" | undefined;
  /** How often a namespace was taken. */
  opened = 0;
  private readonly pods = new Map<string, (connection: ForwardedConnection) => void>();

  async open(
    { id }: { readonly id: string },
    onConnection: (connection: ForwardedConnection) => void,
  ): Promise<PortForward> {
    this.opened++;
    if (this.fault !== undefined) throw blazarError(this.fault, "take connections", "a fault of the test");
    this.pods.set(id, onConnection);
    return { close: () => this.pods.delete(id) };
  }

  /** The kernel closes what it had open. */
  daemonDies(): void {
    this.pods.clear();
  }

  /** Pods whose connections are taken. */
  get remains(): string[] {
    return [...this.pods.keys()].map((id) => `port-forward of ${id}`);
  }

  /** Dials a pod's localhost. Undefined = refused by the kernel, because nobody takes the pod's connections. */
  dial(id: string, port: number, family: 4 | 6 = 4): MemoryConnection | undefined {
    const accept = this.pods.get(id);
    if (accept === undefined) return undefined;
    const connection = new MemoryConnection(family, port);
    accept(connection);
    return connection;
  }
}
