/**
 * `blazar replay`: steps through a bundle, a detail in JSON or a journal, without a daemon.
 */
import { createReadStream } from "node:fs";
import { MOST_BYTES, readRecording } from "../console/replay/file.ts";
import { replayLive } from "../console/replay/live.ts";
import { replayLines, replaySteps } from "../console/replay/page.ts";
import { screenOf } from "../console/screen.ts";
import { structuredLine } from "../console/structured.ts";
import { BlazarError } from "../contracts/errors.ts";
import type { SandboxDetail } from "../contracts/inspection.ts";
import { chartDefinitions } from "../observe/charts/definitions.ts";
import { replayJournal } from "../observe/replay/replay.ts";

export interface ReplayOptions {
  readonly json?: boolean;
  readonly plain?: boolean;
}

/** Returns the exit code. */
export async function replay(file: string, options: ReplayOptions): Promise<number> {
  const bytes = await firstBytes(file, MOST_BYTES + 1).catch((error: unknown) => {
    throw BlazarError.wrap(error, "InvalidArgument", { operation: "read a recording", subject: file });
  });
  const recording = await readRecording(file, bytes, readJournal);
  const screen = () => screenOf(process, Date.now());
  if (options.json === true) {
    for (const step of replaySteps(recording)) process.stdout.write(structuredLine(step, "json"));
    return 0;
  }
  const live = options.plain !== true && process.stdout.isTTY && process.stdin.isTTY;
  if (live) await replayLive(recording, screen);
  else process.stdout.write(replayLines(recording, screen()));
  return 0;
}

/** A file may be of any size, and a device has no end. */
async function firstBytes(file: string, most: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of createReadStream(file, { end: most - 1, highWaterMark: 1 << 20 }))
    parts.push(part as Buffer);
  return Buffer.concat(parts);
}

function readJournal(text: string): SandboxDetail | undefined {
  const { detail } = replayJournal(text, { charts: chartDefinitions() });
  return detail.history.length === 0 ? undefined : detail;
}
