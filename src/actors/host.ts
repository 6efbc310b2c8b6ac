/**
 * Everything that the actors need of the outside world, bundled: ports, settings and sources of time and chance.
 *
 * Built once in main.ts (or by a test with fakes) and handed down; no actor reaches for anything else.
 */
import type { Deadlines } from "../contracts/deadlines.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { PodNetworks } from "../contracts/network.ts";
import type { Cgroups, HostFiles, RootfsStore } from "../contracts/storage.ts";
import type { TaskEvents } from "../contracts/task.ts";
import type { VmmDriver } from "../contracts/vmm.ts";
import type { ContainerCreate, GuestProcess } from "../protocol/guest/messages.ts";
import type { TextCodec } from "../protocol/wire/json.ts";
import type { StdioHost } from "./container/stdio-relay.ts";
import type { Journal } from "./resources/journal.ts";
import type { VmSupply } from "./supply/vm-supply.ts";
import type { UserPool } from "./vm/users.ts";

/** A container's spec, reduced to what the guest has to do; its root, stdio and id are added later. */
export interface TranslatedContainer {
  readonly create: Omit<ContainerCreate, "id" | "rootfs" | "stdio" | "pidTarget">;
  readonly rootReadonly: boolean;
  /** Task pid of the container whose PID namespace is joined; set if `create.pidNamespace` is `target`. */
  readonly pidTarget: number | undefined;
  /** What of the spec is ignored, for the log. */
  readonly warnings: readonly string[];
}

/** Reads OCI specs (opencontainers/runtime-spec). Throws InvalidSpec, UnsupportedSpec. */
export interface SpecTranslator {
  container(spec: unknown): TranslatedContainer;
  process(process: unknown): { readonly process: GuestProcess; readonly warnings: readonly string[] };
}

export interface Host {
  readonly driver: VmmDriver;
  readonly supply: VmSupply;
  readonly keeper: Pick<Keeper, "inventory" | "signal" | "exited" | "forget" | "openStdio">;
  readonly stdio: StdioHost;
  readonly files: HostFiles;
  readonly rootfs: RootfsStore;
  readonly cgroups: Cgroups;
  readonly networks: PodNetworks;
  /** Users for VMMs; undefined where the daemon is not root and VMMs run as its own user. */
  readonly users: UserPool | undefined;
  readonly specs: SpecTranslator;
  readonly events: TaskEvents;
  readonly logger: Logger;
  readonly deadlines: Deadlines;
  /** Absolute: `<state>/sandboxes/<id>/…`. */
  readonly stateDirectory: string;
  /** Starts the journal of a new sandbox. */
  readonly openJournal: (sandboxId: string) => Promise<Journal>;
  /** Absolute; for writable layers whose snapshot has no place for them. */
  readonly scratchDirectory: string;
  readonly defaultVcpus: number;
  readonly defaultMemoryBytes: number;
  /** Identifies this life of the daemon. */
  readonly session: string;
  readonly text: TextCodec;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** So many bytes of fresh randomness, as hex. */
  readonly randomHex: (bytes: number) => string;
  /** The host's own resolv.conf, for pods that name no servers. */
  readonly hostResolvConf: () => Promise<string>;
}
