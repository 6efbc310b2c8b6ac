/**
 * `blazar ui`: serves the state-chart page until a signal comes. All that it prints is the page's address, which has the token.
 */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { misuse } from "../contracts/misuse.ts";
import { chartDefinitions } from "../observe/charts/definitions.ts";
import { PageServer } from "../page/server.ts";
import { InspectionClient } from "../rpc/inspection/client.ts";
import { type DaemonOptions, daemonSocket } from "./daemon-socket.ts";

/** Put in its place when this file is bundled (setup/lib/dist.ts). */
declare const BLAZAR_VERSION: string;

export interface UiOptions extends DaemonOptions {
  readonly port?: string;
  readonly offline?: boolean;
}

const LAST_PORT = 65_535;
/** Beside the program's bundle. */
const PAGE = path.join(path.dirname(fileURLToPath(import.meta.url)), "page");

/** Returns the exit code. */
export async function ui(options: UiOptions): Promise<number> {
  const port = readPort(options.port ?? "0");
  const source =
    options.offline === true ? undefined : new InspectionClient(await daemonSocket(options, process.env));
  const charts = source === undefined ? chartDefinitions() : [];
  const server = await PageServer.start({ version: BLAZAR_VERSION, port, directory: PAGE, source, charts });
  process.stdout.write(`${server.url}\n`);
  await asked();
  await server.stop();
  source?.close();
  return 0;
}

function readPort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= LAST_PORT) return port;
  const about = { subject: `--port ${text}`, remedy: "for example: --port 8080" };
  throw misuse("this is no port", about);
}

/** Resolves at Ctrl-C or SIGTERM. */
function asked(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", resolve).once("SIGTERM", resolve);
  });
}
