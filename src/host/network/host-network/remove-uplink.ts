/** Takes an uplink away by its name alone: also that of an earlier daemon, in any state, and twice. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { BlazarError } from "../../../contracts/errors.ts";
import type { Keeper } from "../../../contracts/keeper.ts";
import { SIGKILL } from "../../../lib/signals.ts";
import { adoptOrphan } from "./orphan.ts";

type HelperKeeper = Pick<Keeper, "signal" | "exited" | "forget">;

export type UplinkKeeper = HelperKeeper &
  Pick<Keeper, "makeUplink" | "adoptUplink" | "dropUplink" | "pid" | "inventory" | "adopt">;

/** Throws what the keeper and the file system say. */
export async function removeUplink(
  { keeper, directory }: { readonly keeper: UplinkKeeper; readonly directory: string },
  id: string,
): Promise<void> {
  const place = uplinkDirectory({ directory }, id);
  await adoptOrphan(keeper, place, helperId(id));
  await endHelper(keeper, helperId(id));
  await keeper.dropUplink(id);
  await rm(place, { recursive: true, force: true });
}

/** Ends a helper; it is forgotten then. One that is gone is success. */
export async function endHelper(keeper: HelperKeeper, helper: string): Promise<void> {
  await unlessGone(() => keeper.signal(helper, SIGKILL));
  await unlessGone(async () => {
    await keeper.exited(helper);
    await keeper.forget(helper);
  });
}

async function unlessGone(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (
      error instanceof BlazarError &&
      (error.code === "ProcessNotFound" || error.code === "ProcessNotRunning")
    )
      return;
    throw error;
  }
}

/** The keeper's name for an uplink's helper. */
export function helperId(uplink: string): string {
  return `${uplink}.pasta`;
}

export function uplinkDirectory({ directory }: { readonly directory: string }, id: string): string {
  return join(directory, id);
}
