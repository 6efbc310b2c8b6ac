/**
 * `blazar ui`: serves the state-chart page until a signal comes; the only thing that it prints is the page's address.
 */
import path from "node:path";
import { fileURLToPath } from "node:url";
import { blazarError } from "../contracts/errors.ts";
import { PageServer } from "../page/server.ts";
import { InspectionClient } from "../rpc/inspection/client.ts";

export interface UiOptions {
  readonly port?: string;
  readonly address?: string;
  readonly offline?: boolean;
}

const DEFAULT_ADDRESS = "/run/blazar/inspection.sock";
const LAST_PORT = 65_535;

/** Returns the exit code. */
export async function serveUi(options: UiOptions, version: string): Promise<number> {
  const port = readPort(options.port ?? "0");
  const client =
    options.offline === true ? undefined : new InspectionClient(options.address ?? DEFAULT_ADDRESS);
  const directory = path.join(path.dirname(fileURLToPath(import.meta.url)), "page");
  const server = await PageServer.start({ version, port, directory, source: client, charts: [] });
  process.stdout.write(`${server.url}\n`);
  await asked();
  await server.stop();
  client?.close();
  return 0;
}

function readPort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= LAST_PORT) return port;
  const about = { subject: text, remedy: "for example: --port 8080" };
  throw blazarError("InvalidArgument", "read --port", "this is no port", about);
}

/** Resolves at Ctrl-C or SIGTERM. */
function asked(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", resolve).once("SIGTERM", resolve);
  });
}
