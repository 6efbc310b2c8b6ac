/**
 * A client of QEMU's machine protocol (QMP, docs/interop/qmp-spec in QEMU): JSON, a message a line.
 *
 * It greets, negotiates, matches answers to commands by id and hands out events in order. The other end is taken for
 * hostile: a line that is too long, is no JSON or answers nothing closes the connection with QmpFailed. No answer is waited
 * for beyond its deadline. It knows no command of QEMU's but `qmp_capabilities`.
 */
import { randomInt } from "node:crypto";
import type net from "node:net";
import { Observable, Subject } from "rxjs";
import { BlazarError, blazarError, reasonOf } from "../../../contracts/errors.ts";
import type { FileSender, SentFile } from "../../../contracts/file-sender.ts";
import { abortable, deferred, withDeadline } from "../../../lib/async.ts";
import { cutText } from "../../../lib/cut-text.ts";
import { awaitUnix } from "../../../lib/sockets/unix-socket.ts";
import { isRecord } from "../../../protocol/wire/json.ts";
import { QmpLines } from "./lines.ts";
import { ReadBudget } from "./read-budget.ts";
import { QmpWriter } from "./writer.ts";

/** Something QEMU tells by itself. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface QmpCommand {
  readonly command: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** The cause of a QmpFailed when QEMU has refused a command. */
export interface QmpRefusal {
  /** QEMU's class: `GenericError`, `DeviceNotFound`, `CommandNotFound`, … */
  readonly class: string;
  readonly description: string;
}

/** Events kept for the first subscriber; more before anybody listens is a violation. */
const MAX_BACKLOG = 256;
/** Commands without an answer; QEMU handles one at a time, so more means that it hangs. */
const MAX_OPEN_COMMANDS = 256;

/** Far apart, and exact in JSON. */
const MOST_FIRST_ID = 2 ** 47;
/** More commands than a connection ever has. */
const MOST_IDS = 2 ** 32;

type Settle = (answer: Record<string, unknown> | BlazarError) => void;

export class QmpClient {
  /** In order, each once; completes when the connection has ended. What comes before the first subscriber waits. */
  readonly events$: Observable<QmpEvent>;
  /** Resolves with the reason when the connection has ended. */
  readonly closed: Promise<BlazarError>;
  private socket: net.Socket;
  private readonly writer: QmpWriter;
  /** Descriptors go out one by one. */
  private turn: Promise<unknown> = Promise.resolve();
  private subject = new Subject<QmpEvent>();
  private backlog: QmpEvent[] | undefined = [];
  private lines = new QmpLines();
  private readonly budget = new ReadBudget(() => performance.now());
  private pause: NodeJS.Timeout | undefined;
  private open = new Map<number, Settle>();
  /** Ids of this connection's commands begin here; see {@link isAnotherLifes}. */
  private readonly firstId = randomInt(1, MOST_FIRST_ID);
  private nextId = this.firstId;
  private ended: BlazarError | undefined;
  private resolveClosed: (reason: BlazarError) => void = () => undefined;
  private greeted: (() => void) | undefined;

  private constructor(socket: net.Socket, sendFile: FileSender, greeted: () => void) {
    this.socket = socket;
    this.writer = new QmpWriter(socket, sendFile);
    this.greeted = greeted;
    this.closed = new Promise((resolve) => {
      this.resolveClosed = resolve;
    });
    this.events$ = new Observable((subscriber) => {
      const backlog = this.backlog ?? [];
      this.backlog = undefined;
      for (const event of backlog) subscriber.next(event);
      return this.subject.subscribe(subscriber);
    });
    socket.on("data", (bytes: Buffer) => this.received(bytes));
    socket.on("error", (error) => this.end(failed("it broke", error)));
    socket.on("close", () => this.end(failed("QEMU closed it")));
  }

  /** Waits until QEMU listens at `path`, then greets. Rejects with QmpFailed, or Cancelled at the abort. */
  static async connect(path: string, signal: AbortSignal, sendFile: FileSender): Promise<QmpClient> {
    const socket = await awaitUnix(path, signal);
    const negotiated = deferred<QmpClient>();
    const client = new QmpClient(socket, sendFile, () => {
      client.execute("qmp_capabilities").then(() => negotiated.resolve(client), negotiated.reject);
    });
    void client.closed.then(negotiated.reject);
    try {
      return await abortable(negotiated.promise, signal, { operation: "greet QEMU", subject: path });
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /**
   * Runs a command and resolves with what it returns. Rejects with QmpFailed (with a {@link QmpRefusal} as the
   * cause if QEMU said no) or, after `deadlineMs`, with DeadlineExceeded; a late answer is dropped.
   */
  execute(command: string, args?: Readonly<Record<string, unknown>>, deadlineMs?: number): Promise<unknown> {
    const answered = this.ask(command, args);
    if (deadlineMs === undefined) return answered;
    return withDeadline(answered, deadlineMs, () => late(command, deadlineMs));
  }

  /**
   * Opens a file on the host and sends it to QEMU together with commands, the first of which takes it (`add-fd`, `getfd`).
   * All of them run, in their order and without waiting for each other. Resolves with what they return; rejects with the
   * first failure when all are answered, with StorageFailed if the file cannot be opened, and as {@link execute} does.
   */
  executeWithFile(file: SentFile, commands: readonly QmpCommand[], deadlineMs: number): Promise<unknown[]> {
    const sent = this.turn.then(() => this.sendWithFile(file, commands));
    this.turn = sent
      .then((answers) =>
        withDeadline(answers[0] ?? Promise.resolve(), deadlineMs, () => late(file.path, deadlineMs)),
      )
      .catch(() => undefined);
    const name = commands.map(({ command }) => command).join(", ");
    return withDeadline(sent.then(allAnswers), deadlineMs, () => late(name, deadlineMs));
  }

  /** The promises of the answers, which are no rejections of this one. */
  private async sendWithFile(
    file: SentFile,
    commands: readonly QmpCommand[],
  ): Promise<readonly Promise<unknown>[]> {
    const asked = commands.map(({ command, args }) => this.register(command, args));
    for (const { answer } of asked) answer.catch(() => undefined);
    try {
      if (this.ended === undefined) await this.writer.writeWith(file, asked.map(({ line }) => line).join(""));
    } catch (error) {
      const reason = BlazarError.wrap(error, "QmpFailed", {
        operation: "hand QEMU a file",
        subject: file.path,
      });
      if (reason.code !== "StorageFailed") this.end(failed("it broke", reason));
      for (const { id } of asked) {
        this.open.get(id)?.(reason);
        this.open.delete(id);
      }
    }
    return asked.map(({ answer }) => answer);
  }

  private ask(command: string, args: QmpCommand["args"]): Promise<unknown> {
    const { answer, line } = this.register(command, args);
    if (line !== "") this.writer.write(line);
    return answer;
  }

  /** The line is "" if the command has failed already. */
  private register(
    command: string,
    args: QmpCommand["args"],
  ): { readonly id: number; readonly answer: Promise<unknown>; readonly line: string } {
    const id = this.nextId++;
    if (this.ended !== undefined) return { id, answer: Promise.reject(this.ended), line: "" };
    if (this.open.size >= MAX_OPEN_COMMANDS) {
      const error = failed(`${MAX_OPEN_COMMANDS} commands are without an answer`, undefined, command);
      return { id, answer: Promise.reject(error), line: "" };
    }
    const answer = new Promise<unknown>((resolve, reject) => {
      this.open.set(id, (answered) => {
        if (answered instanceof BlazarError) reject(answered);
        else if ("return" in answered) resolve(answered["return"]);
        else reject(refused(command, answered["error"]));
      });
    });
    const message = { execute: command, ...(args === undefined ? {} : { arguments: args }), id };
    return { id, answer, line: `${JSON.stringify(message)}\n` };
  }

  /** Ends the connection; open commands fail. */
  close(): void {
    this.end(failed("it was closed"));
  }

  private received(bytes: Buffer): void {
    try {
      this.lines.push(bytes, (line) => {
        if (this.ended === undefined) this.message(JSON.parse(line));
      });
    } catch (error) {
      this.end(error instanceof BlazarError ? error : failed("QEMU sent a line that is not JSON", error));
    }
    const pauseMs = this.budget.take(bytes.length);
    if (pauseMs === 0 || this.ended !== undefined) return;
    this.socket.pause();
    this.pause = setTimeout(() => this.socket.resume(), pauseMs);
  }

  private message(message: unknown): void {
    if (!isRecord(message)) throw failed("QEMU sent a message that is not an object");
    if (this.greeted !== undefined) return this.greeting(message, this.greeted);
    if (typeof message["event"] === "string") {
      const data = message["data"];
      return this.event({ event: message["event"], data: isRecord(data) ? data : {} });
    }
    const id = message["id"];
    if (this.isAnotherLifes(id)) return;
    const settle = typeof id === "number" ? this.open.get(id) : undefined;
    if (typeof id !== "number" || settle === undefined || !("return" in message || "error" in message)) {
      throw failed("QEMU answered what was not asked");
    }
    this.open.delete(id);
    settle(message);
  }

  /**
   * QEMU gives an answer to whoever is connected by then: what a dead daemon has asked is answered here. So each connection
   * counts from a number of its own.
   */
  private isAnotherLifes(id: unknown): boolean {
    return typeof id === "number" && (id < this.firstId || id >= this.firstId + MOST_IDS);
  }

  private greeting(message: Record<string, unknown>, greeted: () => void): void {
    if (this.isAnotherLifes(message["id"])) return;
    if (!isRecord(message["QMP"])) throw failed("QEMU did not greet");
    this.greeted = undefined;
    greeted();
  }

  private event(event: QmpEvent): void {
    if (this.backlog === undefined) return this.subject.next(event);
    if (this.backlog.length >= MAX_BACKLOG) throw failed(`more than ${MAX_BACKLOG} events at the start`);
    this.backlog.push(event);
  }

  private end(reason: BlazarError): void {
    if (this.ended !== undefined) return;
    this.ended = reason;
    clearTimeout(this.pause);
    this.socket.destroy();
    const open = [...this.open.values()];
    this.open.clear();
    for (const settle of open) settle(reason);
    this.subject.complete();
    this.resolveClosed(reason);
  }
}

async function allAnswers(answers: readonly Promise<unknown>[]): Promise<unknown[]> {
  await Promise.allSettled(answers);
  return Promise.all(answers);
}

/** What QEMU said no with, if that is what this error is. */
export function qmpRefusal(error: unknown): QmpRefusal | undefined {
  const cause = error instanceof BlazarError ? error.details.cause : undefined;
  if (!isRecord(cause)) return undefined;
  const { class: name, description } = cause;
  return typeof name === "string" && typeof description === "string"
    ? { class: name, description }
    : undefined;
}

function refused(command: string, error: unknown): BlazarError {
  const fields = isRecord(error) ? error : {};
  const refusal: QmpRefusal = {
    class: cutText(String(fields["class"]), 100),
    description: cutText(String(fields["desc"]), 2000),
  };
  return failed(refusal.description, refusal, command);
}

function failed(reason: string, cause?: unknown, command?: string): BlazarError {
  const detail = cause instanceof Error ? `: ${reasonOf(cause)}` : "";
  const operation = command === undefined ? "use QEMU's control connection" : "run a QMP command";
  return blazarError("QmpFailed", operation, `${reason}${detail}`, { subject: command, cause });
}

function late(command: string, deadlineMs: number): BlazarError {
  const reason = `no answer in ${deadlineMs} ms`;
  return blazarError("DeadlineExceeded", "run a QMP command", reason, { subject: command });
}
