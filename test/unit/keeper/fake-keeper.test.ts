/** The fake keeper against the promises of the real one. */
import { expect, vi } from "vitest";
import type { OutputStream, StdioPaths } from "../../../src/contracts/keeper.ts";
import { FakeKeeperHost } from "../../support/fake-keeper.ts";
import type { FakeStdio } from "../../support/fake-keeper-stdio.ts";
import { describeKeeper, type KeeperBench } from "../../support/keeper-conformance.ts";

function scripted(argv: readonly string[]): { code: number } | undefined {
  const exit = /^exit (\d+)$/.exec(argv[2] ?? "");
  return exit === null ? undefined : { code: Number(exit[1]) };
}

async function fakeBench(): Promise<KeeperBench> {
  const host = new FakeKeeperHost({ behaviour: ({ argv }) => scripted(argv) });
  let keeper = host.connect();
  const holder = (path: string): FakeStdio => {
    for (const stdio of host.stdio.values()) if (Object.values(stdio.paths).includes(path)) return stdio;
    throw new Error(`nobody has opened ${path}`);
  };
  return {
    get keeper() {
      return keeper;
    },
    killDaemon: () => keeper.close(),
    restartDaemon: async () => {
      keeper = host.connect();
      return keeper;
    },
    fifos: async (id, streams) => {
      const paths = { stdin: "", stdout: "", stderr: "" } satisfies StdioPaths;
      for (const stream of streams) paths[stream] = `/fifo/${id}-${stream}`;
      return paths;
    },
    readToEnd: (path) =>
      vi.waitFor(() => {
        const output = holder(path).output(path.split("-").at(-1) as OutputStream);
        expect(output.closed).toBe(true);
        return output.text;
      }),
    write: async (path, text) => holder(path).write(text),
    connectTask: async () => host.openTask(),
    dispose: async () => undefined,
  };
}

describeKeeper("the fake", fakeBench);
