/**
 * Opens containerd's snapshots as the configuration says, for the daemon and for `blazar image prepare`.
 */
import { randomBytes } from "node:crypto";
import type { Logger } from "../../contracts/logger.ts";
import type { Snapshots } from "../../contracts/snapshots.ts";
import type { RootfsMount } from "../../contracts/task.ts";
import { readSnapshot } from "../../host/storage/snapshot.ts";
import { ContainerdSnapshots } from "../../rpc/containerd/snapshots.ts";
import type { Config } from "../config/schema.ts";

/** CRI keeps its images and containers there (containerd's internal/cri/constants), and pods come by CRI alone. */
const CRI_NAMESPACE = "k8s.io";
/** The layers must not go before the deadline of whoever reads them. */
const EXPIRY_MARGIN_MS = 300_000;

/** Connects at the first call. Close it, or the process does not end. */
export function openSnapshots(config: Pick<Config, "daemon" | "deadlines">, logger: Logger): Snapshots {
  return new ContainerdSnapshots({
    socket: config.daemon.containerd_socket,
    namespace: CRI_NAMESPACE,
    deadlines: config.deadlines,
    expiryMs: config.deadlines.imageAhead + EXPIRY_MARGIN_MS,
    logger: logger.child({ component: "containerd" }),
    now: Date.now,
    randomHex: (bytes) => randomBytes(bytes).toString("hex"),
  });
}

/** The layers that these mounts stack, the topmost first; undefined for a disk. Throws InvalidRootfs. */
export function readLower(mounts: readonly RootfsMount[]): readonly string[] | undefined {
  const snapshot = readSnapshot(mounts);
  return snapshot.kind === "layers" && snapshot.readonly ? snapshot.lower : undefined;
}
