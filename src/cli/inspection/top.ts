/**
 * `blazar top`: what pods use and what their VMs cost, live on a terminal.
 */
import { topLive, topOnce } from "../../console/top/live.ts";
import { ORDERS, type Order } from "../../console/top/usage-table.ts";
import { misuse } from "../../contracts/misuse.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { screenNow, withDaemon, write } from "./session.ts";

export interface TopOptions extends DaemonOptions {
  readonly once?: boolean;
  readonly sort?: string;
}

/** Returns the exit code. */
export async function top(options: TopOptions): Promise<number> {
  const order = wantedOrder(options.sort);
  const live = options.once !== true && process.stdout.isTTY && process.stdin.isTTY;
  await withDaemon(options, async (daemon) => {
    if (live) return await topLive(daemon, screenNow, order);
    write(await topOnce(daemon, screenNow(), order));
  });
  return 0;
}

function wantedOrder(given = "cpu"): Order {
  const orders = Object.values(ORDERS);
  const order = orders.find((each) => each === given.replace("-", " "));
  if (order !== undefined) return order;
  const about = {
    subject: `--sort ${given}`,
    remedy: `there are ${orders.map((each) => each.replace(" ", "-")).join(", ")}`,
  };
  throw misuse("there is no such order", about);
}
