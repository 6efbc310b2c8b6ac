/** What connections can do that are no clients: bytes that are not gRPC, ttrpc or HTTP, by a seed, bounded in count and size. */
import { once } from "node:events";
import { readdir, readFile, readlink } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { pause } from "../../../src/lib/async.ts";
import { processesOf } from "../../host/processes.ts";
import { until } from "../../host/until.ts";
import type { PrivateNode } from "../../node/private-node.ts";
import type { Attack } from "../attack.ts";

const CONNECTIONS = 150;
const MOST_BYTES = 4096;
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SEED = 17;
/** They come and go for other reasons. */
const SPARE = 4;
const EACH_MS = 500;
/** The daemon ends a connection without a call after a minute or two (rpc/controller/server.ts). */
const PATIENCE = { timeoutMs: 130_000, pollMs: 500 };

/** Bytes that are the same for each run (xorshift). */
function bytesOf(seed: number, count: number): Buffer {
  let state = seed * 2_654_435_761 || 1;
  return Buffer.from(
    Array.from({ length: count }, () => {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      return state & 0xff;
    }),
  );
}

/** Connects, says something that no client says, and goes or stays. */
export async function talkNonsense(path: string, number: number): Promise<"heard" | "refused"> {
  const socket = connect(path);
  const closed = new Promise<"refused">((resolve) => {
    socket.on("error", () => undefined).on("close", () => resolve("refused"));
  });
  const connected = once(socket, "connect").then(
    () => "heard" as const,
    () => "refused" as const,
  );
  const outcome = await Promise.race([connected, closed]);
  const kinds = [
    () => bytesOf(SEED + number, 1 + ((number * 37) % MOST_BYTES)),
    () => Buffer.concat([Buffer.from(PREFACE), bytesOf(SEED + number, 64)]),
    () =>
      Buffer.concat([Buffer.from(PREFACE), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), bytesOf(number, 200)]),
    () => Buffer.from("GET /metrics HTTP/1.1\r\nHost:"),
    () => Buffer.alloc(0),
  ];
  socket.write(kinds[number % kinds.length]?.() ?? "");
  // some stay open until they are told to go
  if (number % 3 === 0) socket.destroy();
  else if (number % 3 === 1) socket.end();
  await Promise.race([closed, pause(EACH_MS)]);
  socket.destroy();
  return outcome;
}

/** The keeper has containerd's Task connections, blazard all others. */
async function listenerOf(node: PrivateNode, name: string): Promise<number> {
  if (name !== "task.sock") return node.blazardPid;
  const keeper = (await processesOf([node.stateDirectory])).find(({ command }) => command.includes("keeper"));
  if (keeper === undefined) throw new Error("there is no keeper");
  return keeper.pid;
}

/**
 * The connections that a process has taken: sockets with the name of a socket that listens (unix(7)). Its own connections have no
 * name, and those of VMs come and go by themselves.
 */
async function connectionsOf(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const targets = (await readdir(directory)).map((fd) => readlink(join(directory, fd)).catch(() => ""));
  const open = new Set((await Promise.all(targets)).map((each) => /^socket:\[(\d+)\]$/.exec(each)?.[1]));
  const lines = (await readFile("/proc/net/unix", "latin1")).split("\n").map((line) => line.split(/ +/));
  return lines.flatMap(([, , , , , , inode = "", path = ""]) =>
    open.has(inode) && path !== "" && !path.includes("/vm/") ? [`${path} (${inode})`] : [],
  );
}

function malformed(name: string): Attack {
  return {
    name: `${CONNECTIONS} malformed connections to ${name} leave no descriptor and end nothing`,
    by: "a client",
    withoutPod: true,
    async tryIt({ node }) {
      const pid = await listenerOf(node, name);
      const before = await connectionsOf(pid);
      const path = join(node.stateDirectory, name);
      // containerd's, or the daemon's own, is always there
      if (before.length === 0) throw new Error(`no connection of ${name} can be seen`);
      let heard = 0;
      for (let from = 0; from < CONNECTIONS; from += 10) {
        const talks = Array.from({ length: 10 }, (_, index) => talkNonsense(path, from + index));
        heard += (await Promise.all(talks)).filter((each) => each === "heard").length;
      }
      if (heard < CONNECTIONS) throw new Error(`${CONNECTIONS - heard} connections were not taken`);
      const enough = async (): Promise<true | undefined> =>
        (await connectionsOf(pid)).length <= before.length + SPARE ? true : undefined;
      return until("descriptors to be closed", enough, PATIENCE).then(
        () => undefined,
        async () => {
          const open = (await connectionsOf(pid)).filter((each) => !before.includes(each));
          return `connections are open that were not: ${open.join(" ")}`;
        },
      );
    },
  };
}

export const CLIENTS: readonly Attack[] = ["blazar.sock", "inspection.sock", "task.sock", "keeper.sock"].map(
  malformed,
);
