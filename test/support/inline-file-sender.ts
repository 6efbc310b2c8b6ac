/** What a worker does in the daemon, on the calling thread: a test may block. */
import type { FileSender } from "../../src/contracts/file-sender.ts";
import { sendFile } from "../../src/workers/descriptors.ts";
import { unwrap } from "../../src/workers/outcome.ts";

export const inlineFileSender: FileSender = async (message) => unwrap(sendFile(message));
