/** A file server that dies or hangs holds nobody up: containers are killed, shares unmounted, and the VM goes on. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QemuBench } from "../../support/bench/qemu.ts";
import { RunningGuest } from "../../support/bench/running-guest.ts";
import { containerCreate, sandboxSetup } from "../../support/guest-requests.ts";

const VOLUME = { type: "shared", source: "v", destination: "/v", options: ["rbind", "rw"] };

describe("a file server of volumes", () => {
  let bench: QemuBench;
  let guest: RunningGuest;
  let served: { readonly share: string; readonly pid: number };

  beforeAll(async () => {
    bench = await QemuBench.start();
    const spec = await bench.spec("vm");
    const vm = await bench.driver.launch(spec);
    guest = await RunningGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    served = await bench.serve(vm, spec, "volumes");
    await mkdir(join(served.share, "v"));
    await writeFile(join(served.share, "v/file"), "x");
    await guest.ask("share.mount", { share: "volumes" });
  }, 120_000);
  afterAll(() => bench.dispose());

  const start = (id: string, script: string, volume: boolean): Promise<void> => {
    const { mounts } = containerCreate(id, []);
    return guest.start(id, ["sh", "-c", script], { mounts: volume ? [...mounts, VOLUME] : mounts });
  };

  it("that hangs does not keep a container from being killed, nor the guest from going on", async () => {
    await start("user", "exec 3</v/file; while :; do cat /v/file > /dev/null; done", true);
    process.kill(served.pid, "SIGSTOP");
    try {
      const removed = guest.remove("user");
      await start("other", "true", false);
      await guest.remove("other");
      await removed;
    } finally {
      process.kill(served.pid, "SIGCONT");
    }
    // it goes on where it was
    expect(
      await guest.run("later", ["sh", "-c", "cat /v/file"], {
        mounts: [...containerCreate("", []).mounts, VOLUME],
      }),
    ).toBe(0);
  }, 60_000);

  it("that hangs does not keep the share from being unmounted", async () => {
    process.kill(served.pid, "SIGSTOP");
    await guest.ask("share.unmount", { share: "volumes" });
    process.kill(served.pid, "SIGCONT");
  }, 60_000);

  it("that dies gives its users errors", async () => {
    // the port has lost its server with the unmount
    const spec = await bench.spec("second");
    const vm = await bench.driver.launch(spec);
    guest = await RunningGuest.of(vm);
    await guest.ask("sandbox.setup", sandboxSetup());
    served = await bench.serve(vm, spec, "volumes");
    await mkdir(join(served.share, "v"));
    await writeFile(join(served.share, "v/file"), "x");
    await guest.ask("share.mount", { share: "volumes" });
    await start("user", "until ! cat /v/file; do sleep 0.2; done; sleep 1000", true);
    process.kill(served.pid, "SIGKILL");
    await guest.remove("user");
    await guest.ask("share.unmount", { share: "volumes" });
    expect(await guest.run("other", ["true"])).toBe(0);
  }, 120_000);
});
