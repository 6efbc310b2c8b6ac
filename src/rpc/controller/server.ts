/**
 * The gRPC server that containerd's proxy plugin connects to, on a unix socket of mode 0600.
 *
 * Owns listening, draining and closing; service.ts has the calls. Draining answers pending Waits with Unavailable:
 * containerd then repeats them until the next daemon answers.
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { type Histories, NO_HISTORIES } from "../../contracts/history.ts";
import type { SandboxDetail } from "../../contracts/inspection.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SandboxService } from "../../contracts/sandbox.ts";
import { within } from "../../lib/async.ts";
import { KeptSocket } from "../../lib/sockets/kept-socket.ts";
import { ControllerService } from "../generated/containerd/services/sandbox/v1/controller.ts";
import { TurnBudget } from "../turn-budget.ts";
import { createControllerService } from "./service.ts";

/**
 * A connection without a call is ended after so long, and containerd connects again when it needs to. It may be twice as long: where
 * grpc-js finds its timer a millisecond early by the wall clock, it waits once more. Node never lets go of one
 * whose peer has broken HTTP/2 and gone, unless it is ended.
 */
const UNUSED_MS = 60_000;
/** How long the last answers may take to be sent. */
const LAST_ANSWERS_MS = 250;

export interface ControllerServerOptions {
  readonly sandboxes: SandboxService;
  /** Where containerd finds the Task service: `ttrpc+unix:///absolute/path`. */
  readonly taskAddress: string;
  readonly logger: Logger;
  /** Is told of the calls that change something. Default: nobody is. */
  readonly histories?: Histories;
  /** What operators see of a sandbox, for a verbose Status. Default: nothing. */
  readonly details?: (sandboxId: string) => SandboxDetail | undefined;
  /** Where calls that do work wait for their turn. Default: a budget of its own. */
  readonly turns?: TurnBudget;
  /** Default: a minute. */
  readonly unusedMs?: number;
}

export class ControllerServer {
  private readonly server: Server;
  private readonly draining = new AbortController();
  private readonly closing = new AbortController();
  private socket: KeptSocket | undefined;

  constructor(private readonly options: ControllerServerOptions) {
    this.server = new Server({
      "grpc.enable_channelz": 0,
      "grpc.max_connection_idle_ms": options.unusedMs ?? UNUSED_MS,
    });
    this.server.addService(
      ControllerService,
      createControllerService({
        ...options,
        turns: options.turns ?? new TurnBudget(),
        histories: options.histories ?? NO_HISTORIES,
        details: options.details ?? (() => undefined),
        draining: this.draining.signal,
        closing: this.closing.signal,
      }),
    );
  }

  /** Why nobody can connect, as a sentence; "" = everybody can. */
  get trouble(): string {
    return this.socket?.trouble ?? "";
  }

  /** Listens on `path`, replacing a dead daemon's socket, from now on. @throws BlazarError `HostResource` */
  async listen(path: string): Promise<void> {
    const listen = (privatePath: string) =>
      new Promise<() => void>((resolve, reject) => {
        const address = `unix:${privatePath}`;
        this.server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
          // calls under way go on, and containerd connects anew for the next
          if (error === null) resolve(() => this.server.unbind(address));
          else reject(error);
        });
      });
    const socket = new KeptSocket(path, listen, this.options.logger);
    await socket.open();
    this.socket = socket;
  }

  /**
   * Refuses new calls and answers pending Waits. The other calls have `graceMs` to finish, then they are answered
   * Unavailable, too.
   */
  async drain(graceMs: number): Promise<void> {
    await this.socket?.remove();
    this.draining.abort();
    if (graceMs === 0) this.closing.abort();
    const finished = new Promise<true>((resolve) => {
      this.server.tryShutdown(() => resolve(true));
    });
    if (await within(finished, graceMs)) return;
    this.closing.abort();
    // a peer that keeps its connection open must not keep the daemon
    await within(finished, LAST_ANSWERS_MS);
    this.server.forceShutdown();
  }

  /** Ends at once. Calls under way are answered Unavailable. */
  close(): Promise<void> {
    return this.drain(0);
  }
}
