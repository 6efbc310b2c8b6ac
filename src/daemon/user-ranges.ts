/**
 * Whether another daemon of this host gives its VMs the same users.
 *
 * VMs of one user could signal each other's file servers, and open what belongs to that user. A daemon that is root listens
 * on an abstract unix socket (unix(7)) whose name has its range in it, and looks in /proc/net/unix for the names of others: such a
 * name goes with its process, and nothing is left of it. Daemons in other network namespaces are not seen. Anybody may make
 * such a name, so all that comes of one is a warning.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import type { Logger } from "../contracts/logger.ts";

/** Users that VMs may have. */
export interface UserRange {
  readonly firstUid: number;
  readonly count: number;
}

const NAMES = "/proc/net/unix";
/** `@` stands for NUL, with which such a name begins; Node may fill it up with more of them. */
const NAME = /@blazar-users\/(\d{1,10})-(\d{1,10})\/([0-9a-f]{12})@*$/;
const MARK = 12;

/** Warns of daemons with some of the same users, and is seen by others until it is closed. */
export async function announceUsers(
  { firstUid, count }: UserRange,
  stateDirectory: string,
  logger: Logger,
  names = NAMES,
): Promise<{ close(): void }> {
  const mark = createHash("sha256").update(stateDirectory).digest("hex").slice(0, MARK);
  const text = await readFile(names, "latin1").catch(() => "");
  const others = new Set(
    text.split("\n").flatMap((line) => {
      const [, first = "", size = "", other = mark] = NAME.exec(line) ?? [];
      const from = Number(first);
      const overlaps = from < firstUid + count && firstUid < from + Number(size);
      return other !== mark && overlaps ? [`${from} to ${from + Number(size) - 1}`] : [];
    }),
  );
  for (const range of others) {
    const own = `${firstUid} to ${firstUid + count - 1}`;
    const remedy = "give each daemon of the host other ones: vmm.first_uid and vmm.uid_count";
    logger.warn({ own, range, remedy }, "another daemon of this host has some of the same users for its VMs");
  }
  const server = createServer((socket) => socket.destroy());
  return { close: await listening(server, `\0blazar-users/${firstUid}-${count}/${mark}`) };
}

/** Somebody else may have the name already: then it is seen all the same. */
async function listening(server: Server, name: string): Promise<() => void> {
  server.listen(name).unref();
  try {
    await once(server, "listening");
    return () => void server.close();
  } catch {
    return () => undefined;
  }
}
