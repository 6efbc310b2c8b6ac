/**
 * Entry of the file server: serves one directory to one guest, and ends with the guest's connection.
 *
 * It is started by the keeper as the user of the guest's VM, with few capabilities: a share has files of all users. It takes
 * one connection. Exit codes: 0 the guest has gone, 1 the guest broke the protocol or something failed, 2 usage.
 */
import * as std from "std";
import * as sys from "sys";
import { parseArguments, USAGE } from "./arguments.ts";
import { Connection } from "./connection.ts";
import { MEMORY_LIMIT_BYTES, Session } from "./session.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
/** For whoever started the server to have the VM connect. */
const CONNECT_WITHIN_MS = 60_000;
const MOST_DESCRIPTORS = 65_536;
const PRIVATE = 0o600;

function run(): void {
  const { root, socket, writable, maps } = parseArguments(scriptArgs.slice(1));
  const directory = need(sys.open(root, sys.O_PATH | sys.O_DIRECTORY), `open ${root}`);
  sys.setMemoryLimit(MEMORY_LIMIT_BYTES);
  // new files have exactly the permissions that the guest asks for
  sys.umask(0);
  const session = new Session({ root: directory, descriptors: raiseLimit(), writable, maps });
  const listener = typeof socket === "number" ? socket : listen(socket);
  const connection = accept(listener);
  sys.close(listener);
  if (typeof socket === "string") sys.unlink(socket);
  new Connection(connection, session).serve();
}

/** As many descriptors as this process may have; the number. */
function raiseLimit(): number {
  const limits = sys.getrlimit(0, sys.RLIMIT_NOFILE);
  if (typeof limits === "number") return 0;
  const [soft, hard] = limits;
  const most = hard > BigInt(MOST_DESCRIPTORS) ? BigInt(MOST_DESCRIPTORS) : hard;
  if (most <= soft) return Number(soft > most ? most : soft);
  return sys.prlimit(0, sys.RLIMIT_NOFILE, most, hard) < 0 ? Number(soft) : Number(most);
}

/** Whoever finds the socket's file can connect: it gets its name when it listens. */
function listen(path: string): number {
  const unnamed = `${path}.new`;
  sys.unlink(unnamed);
  const listener = need(sys.unixListen(unnamed, PRIVATE, 1), `listen on ${path}`);
  need(sys.rename(unnamed, path), `name the socket ${path}`);
  return listener;
}

function accept(listener: number): number {
  if (sys.poll1(listener, sys.POLLIN, CONNECT_WITHIN_MS) === 0) throw new Error("nobody has connected");
  const connection = need(sys.accept4(listener), "accept the guest's connection");
  need(sys.setNonblock(connection, false), "wait for the guest's messages");
  return connection;
}

function need(result: number, operation: string): number {
  if (result >= 0) return result;
  throw new Error(`could not ${operation}: ${std.strerror(-result)}`);
}

try {
  run();
} catch (error) {
  const usage = error instanceof Error && error.message.startsWith("--");
  std.err.puts(`fileserver: ${error instanceof Error ? error.message : String(error)}\n`);
  if (usage) std.err.puts(`${USAGE}\n`);
  std.err.flush();
  std.exit(usage ? EXIT_USAGE : EXIT_FAILED);
}
