/** The fake keeper against the promises of the real one. */
import { describe, expect, it, vi } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { OutputStream, StdioPaths } from "../../../src/contracts/keeper.ts";
import { describeKeeper } from "../../support/conformance/keeper.ts";
import { type KeeperBench, StdioRecorder, shell } from "../../support/conformance/keeper-bench.ts";
import { FakeKeeperHost } from "../../support/fake-keeper/keeper.ts";
import type { FakeStdio } from "../../support/fake-keeper/stdio.ts";

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
  const networks = new Set<string>();
  host.hooks.onWatch = (path) => {
    if (!networks.has(path))
      throw blazarError("HostResource", "watch a network", "there is none", { subject: path });
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
    killKeeper: async () => host.die(),
    taps: true,
    network: () => {
      const path = `/netns/${networks.size}`;
      networks.add(path);
      return { path, change: () => host.changeNetwork(path) };
    },
    forkable: (id) => ({ ...shell(id, "sleep 60"), forkControl: 8 }),
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

describe("the fake's faults", () => {
  it("fails a spawn on demand, and leaves nothing of it", async () => {
    const host = new FakeKeeperHost({
      onSpawn: () => {
        throw blazarError("VmmNotInstalled", "start a process", "no such file");
      },
    });
    const keeper = host.connect();
    await expect(keeper.spawn(shell("vm", ""))).rejects.toMatchObject({ code: "VmmNotInstalled" });
    expect(keeper.inventory().processes).toEqual([]);
  });

  it("ends a process at will", async () => {
    const host = new FakeKeeperHost();
    const keeper = host.connect();
    await keeper.spawn(shell("vm", ""));
    expect(host.running).toEqual(["vm"]);
    const exit = keeper.exited("vm");
    host.exit("vm", { signal: 9 });
    expect(await exit).toEqual({ id: "vm", code: -1, signal: 9 });
    expect(host.running).toEqual([]);
  });

  it("holds back a reader, and requests while the link is down", async () => {
    const host = new FakeKeeperHost();
    const keeper = host.connect();
    const recorder = new StdioRecorder();
    const paths = { stdin: "", stdout: "/fifo/c-stdout", stderr: "" };
    const stdio = await keeper.openStdio("c", paths, recorder);
    await recorder.acked("stdout", 0);
    const output = host.stdio.get("c")?.output("stdout");
    output?.hold();
    stdio.data("stdout", 0, Buffer.from("held"));
    stdio.end("stdout", 4);
    expect(output?.closed).toBe(false);
    keeper.disconnect();
    let closed = false;
    const closing = stdio.close().then(() => {
      closed = true;
    });
    output?.release();
    await Promise.resolve();
    expect([closed, recorder.acks.stdout.offset]).toEqual([false, 0]);
    keeper.reconnect();
    await recorder.acked("stdout", 5);
    await closing;
    expect(host.stdio.size).toBe(0);
  });
});
