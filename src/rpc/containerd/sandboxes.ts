/**
 * The port to containerd's sandboxes: containerd.services.sandbox.v1.Store, in all of containerd's namespaces.
 *
 * The store filters by id and labels only (core/metadata/adaptors.go, adaptSandbox), so all sandboxes come. Another containerd
 * than the daemon's own would answer as well, and know none of its sandboxes. So it is asked for its sandboxers first
 * (cmd/containerd/server/server.go: a proxy plugin exports its address).
 */
import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { SandboxStore, StoredSandbox } from "../../contracts/reconcile.ts";
import { IntrospectionService } from "../generated/containerd/services/introspection/v1/introspection.ts";
import { NamespacesService } from "../generated/containerd/services/namespaces/v1/namespace.ts";
import { StoreService } from "../generated/containerd/services/sandbox/v1/store.ts";
import { ContainerdConnection } from "./connection.ts";

/** Of a call that is about no namespace. */
const NAMESPACE = "default";
const SANDBOXERS = "type==io.containerd.sandbox.controller.v1";

export interface ContainerdSandboxesOptions {
  /** containerd's gRPC socket, an absolute path. */
  readonly socket: string;
  /** The daemon's own Controller socket, which that containerd calls. */
  readonly controller: string;
  readonly deadlines: Pick<Deadlines, "containerdCall">;
}

export class ContainerdSandboxes implements SandboxStore {
  private readonly connection: ContainerdConnection;

  constructor(private readonly options: ContainerdSandboxesOptions) {
    this.connection = new ContainerdConnection({ ...options, namespace: NAMESPACE });
  }

  async list(signal?: AbortSignal): Promise<readonly StoredSandbox[]> {
    await this.checkIdentity(signal);
    const { namespaces } = await this.connection.call(NamespacesService.list, { filter: "" }, { signal });
    const lists = namespaces.map(({ name: namespace }) =>
      this.connection.call(StoreService.list, { filters: [] }, { signal, namespace }),
    );
    const all = (await Promise.all(lists)).flatMap(({ list }) => list);
    return all.map(({ sandboxId: id, sandboxer }) => ({ id, sandboxer }));
  }

  /** Throws InvalidConfig if it is not the containerd that calls this daemon. */
  private async checkIdentity(signal: AbortSignal | undefined): Promise<void> {
    const { socket, controller } = this.options;
    const filters = [SANDBOXERS];
    const { plugins } = await this.connection.call(IntrospectionService.plugins, { filters }, { signal });
    const addresses = plugins.flatMap(({ exports }) => exports["address"] ?? []);
    const own = await realSocket(controller);
    for (const address of addresses)
      if ((await realSocket(address.replace(/^unix:(\/\/)?/, ""))) === own) return;
    const others = addresses.length === 0 ? "" : `, but ${addresses.join(", ")}`;
    const reason = `it is not this daemon's containerd: none of its sandboxers is ${controller}${others}`;
    throw blazarError("InvalidConfig", "list containerd's sandboxes", reason, {
      subject: socket,
      remedy: "set daemon.containerd_socket, or merge deploy/containerd.toml into its configuration",
    });
  }

  close(): void {
    this.connection.close();
  }
}

/** The socket itself may come and go. */
async function realSocket(path: string): Promise<string> {
  const directory = await realpath(dirname(path)).catch(() => dirname(path));
  return join(directory, basename(path));
}
