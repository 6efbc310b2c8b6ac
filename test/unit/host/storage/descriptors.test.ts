/** Descriptors of worker threads: Node warns of each that is closed otherwise than it was opened. */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";
import { bundleWorker } from "../../../support/worker-bundle.ts";

const run = promisify(execFile);
const ROUNDS = 3;

/** A process whose worker thread sends files over a socket, as the daemon's do; it prints what came of each. */
const PROGRAM = `
import { fstatSync } from "node:fs";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";
const [bundle, listener, file, nowhere] = process.argv.slice(1);
const thread = \`
  import { workerData } from "node:worker_threads";
  const { sendFile } = await import(workerData.bundle);
  for (const message of workerData.messages) console.log(JSON.stringify(sendFile(message).ok));
\`;
const connection = connect(listener, () => {
  const fd = connection._handle.fd;
  const socket = { fd, inode: fstatSync(fd).ino };
  const files = [
    { kind: "file", path: file, flags: 0 },
    { kind: "connection", path: listener },
    { kind: "file", path: nowhere, flags: 0 },
    { kind: "connection", path: nowhere },
  ];
  const messages = files.map((file) => ({ socket, file, text: "{}" }));
  messages.push({ ...messages[0], socket: { fd, inode: 1 } });
  const all = Array.from({ length: ${ROUNDS} }, () => messages).flat();
  new Worker(thread, { eval: true, workerData: { bundle, messages: all } }).on("exit", () => connection.destroy());
});
`;

it("are closed by whoever has opened them: Node warns of none", async () => {
  const directory = await temporaryDirectory();
  const file = join(directory, "file");
  await writeFile(file, "");
  const worker = await bundleWorker("rootfs");
  const listener = join(directory, "socket");
  const server = createServer((connection) => connection.resume()).listen(listener);
  try {
    const script = ["--input-type=module", "--eval", PROGRAM];
    const words = [worker.file, listener, file, join(directory, "none")];
    const { stdout, stderr } = await run(process.execPath, [...script, ...words]);
    expect(stderr).toBe("");
    const outcomes = [true, true, false, false, false];
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual(Array.from({ length: ROUNDS }, () => outcomes).flat());
  } finally {
    server.close();
    await worker.remove();
  }
});
