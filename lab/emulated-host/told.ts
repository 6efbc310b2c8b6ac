/**
 * What an emulated host tells on its control port (guest/run.sh): `up` when the command starts, `exit N` when it has ended.
 */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { deferred } from "../../src/lib/async.ts";

export interface Told {
  readonly up: Promise<void>;
  readonly exit: Promise<number>;
}

/** Lines of any other kind are ignored. */
export function told(port: Readable): Told {
  const up = deferred<void>();
  const exit = deferred<number>();
  createInterface({ input: port }).on("line", (line) => {
    const status = /^exit (\d{1,3})$/.exec(line)?.[1];
    if (line === "up") up.resolve();
    if (status !== undefined) exit.resolve(Number(status));
  });
  return { up: up.promise, exit: exit.promise };
}
