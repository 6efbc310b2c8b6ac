/** What a worker does in the daemon, on the calling thread: a test may block. */
import type { SeccompCompiler } from "../../src/contracts/seccomp.ts";
import { unwrap } from "../../src/workers/outcome.ts";
import { compileSeccomp } from "../../src/workers/seccomp.worker.ts";

export const inlineSeccomp: SeccompCompiler = { compile: async (profile) => unwrap(compileSeccomp(profile)) };
