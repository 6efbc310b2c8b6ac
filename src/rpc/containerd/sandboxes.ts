/**
 * The port to containerd's sandboxes: containerd.services.sandbox.v1.Store, in all of containerd's namespaces.
 *
 * The store filters by id and labels only (core/metadata/adaptors.go, adaptSandbox), so all sandboxes come.
 */
import type { Deadlines } from "../../contracts/deadlines.ts";
import type { SandboxStore, StoredSandbox } from "../../contracts/reconcile.ts";
import { NamespacesService } from "../generated/containerd/services/namespaces/v1/namespace.ts";
import { StoreService } from "../generated/containerd/services/sandbox/v1/store.ts";
import { ContainerdConnection } from "./connection.ts";

/** Of a call that is about no namespace. */
const NAMESPACE = "default";

export interface ContainerdSandboxesOptions {
  /** containerd's gRPC socket, an absolute path. */
  readonly socket: string;
  readonly deadlines: Pick<Deadlines, "containerdCall">;
}

export class ContainerdSandboxes implements SandboxStore {
  private readonly connection: ContainerdConnection;

  constructor(options: ContainerdSandboxesOptions) {
    this.connection = new ContainerdConnection({ ...options, namespace: NAMESPACE });
  }

  async list(signal?: AbortSignal): Promise<readonly StoredSandbox[]> {
    const { namespaces } = await this.connection.call(NamespacesService.list, { filter: "" }, { signal });
    const lists = namespaces.map(({ name: namespace }) =>
      this.connection.call(StoreService.list, { filters: [] }, { signal, namespace }),
    );
    const all = (await Promise.all(lists)).flatMap(({ list }) => list);
    return all.map(({ sandboxId: id, sandboxer }) => ({ id, sandboxer }));
  }

  close(): void {
    this.connection.close();
  }
}
