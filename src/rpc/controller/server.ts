/**
 * The gRPC server that containerd's proxy plugin connects to: one unix socket of mode 0600.
 *
 * Owns listening, draining and closing; what the calls mean is in service.ts. Draining answers pending
 * Waits with Unavailable, which makes containerd repeat them until the next daemon is there.
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Logger } from "../../contracts/logger.ts";
import type { SandboxService } from "../../contracts/sandbox.ts";
import { type BoundSocket, bindUnixSocket } from "../../lib/unix-listener.ts";
import { ControllerService } from "../generated/containerd/services/sandbox/v1/controller.ts";
import { TurnBudget } from "../turn-budget.ts";
import { createControllerService } from "./service.ts";

/** How long the last answers may take on their way out. */
const LAST_ANSWERS_MS = 250;

export interface ControllerServerOptions {
  readonly sandboxes: SandboxService;
  /** Where containerd finds the Task service: `ttrpc+unix:///absolute/path`. */
  readonly taskAddress: string;
  readonly logger: Logger;
  /** Default: one of its own. */
  readonly turns?: TurnBudget;
}

export class ControllerServer {
  private readonly server: Server;
  private readonly draining = new AbortController();
  private readonly closing = new AbortController();
  private socket: BoundSocket | undefined;

  constructor(options: ControllerServerOptions) {
    this.server = new Server({ "grpc.enable_channelz": 0 });
    this.server.addService(
      ControllerService,
      createControllerService({
        ...options,
        turns: options.turns ?? new TurnBudget(),
        draining: this.draining.signal,
        closing: this.closing.signal,
      }),
    );
  }

  /** Listens on `path`, replacing a dead daemon's socket. @throws BlazarError `HostResource` */
  async listen(path: string): Promise<void> {
    this.socket = await bindUnixSocket(path, (privatePath) => {
      return new Promise((resolve, reject) => {
        this.server.bindAsync(`unix:${privatePath}`, ServerCredentials.createInsecure(), (error) => {
          if (error === null) resolve();
          else reject(error);
        });
      });
    });
  }

  /**
   * Refuses new calls, answers pending Waits, and gives the other calls `graceMs` to finish before they are
   * answered Unavailable too.
   */
  async drain(graceMs: number): Promise<void> {
    await this.socket?.remove();
    this.draining.abort();
    if (graceMs === 0) this.closing.abort();
    const finished = new Promise<void>((resolve) => {
      this.server.tryShutdown(() => resolve());
    });
    if (await isWithin(finished, graceMs)) return;
    this.closing.abort();
    // a peer that does not hang up may keep its connection: not our end
    await isWithin(finished, LAST_ANSWERS_MS);
    this.server.forceShutdown();
  }

  /** Ends at once: calls in flight are answered Unavailable. */
  close(): Promise<void> {
    return this.drain(0);
  }
}

/** Whether a promise resolves within `ms`. */
async function isWithin(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
