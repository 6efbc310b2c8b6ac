/** A QMP server that says what a test tells it to. */
import { once } from "node:events";
import net from "node:net";
import { join } from "node:path";

export const GREETING = { QMP: { version: { qemu: { major: 7, minor: 2, micro: 0 } }, capabilities: [] } };

/** A command as it came. */
export interface ReceivedCommand {
  readonly execute: string;
  readonly arguments?: Record<string, unknown>;
  readonly id: number;
}

export class FakeQmp implements AsyncDisposable {
  readonly path: string;
  readonly commands: ReceivedCommand[] = [];
  /** What to say to a command; undefined = nothing. By default everything succeeds. */
  answer: (command: ReceivedCommand) => object | undefined = ({ id }) => ({ return: {}, id });
  /** First words; "" = none. */
  greeting = `${JSON.stringify(GREETING)}\r\n`;
  connection: net.Socket | undefined;
  private readonly server: net.Server;

  constructor(directory: string) {
    this.path = join(directory, "qmp.sock");
    this.server = net.createServer((socket) => this.serve(socket));
  }

  async listen(): Promise<void> {
    this.server.listen(this.path);
    await once(this.server, "listening");
  }

  say(...messages: object[]): void {
    this.raw(messages.map((message) => `${JSON.stringify(message)}\r\n`).join(""));
  }

  raw(bytes: string | Uint8Array): void {
    this.connection?.write(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.connection?.destroy();
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, "close");
  }

  private serve(socket: net.Socket): void {
    this.connection = socket;
    let pending = "";
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Buffer) => {
      pending += bytes.toString();
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) this.handle(JSON.parse(line) as ReceivedCommand);
    });
    if (this.greeting !== "") socket.write(this.greeting);
  }

  private handle(command: ReceivedCommand): void {
    this.commands.push(command);
    const answer = this.answer(command);
    if (answer !== undefined) this.say(answer);
  }
}
