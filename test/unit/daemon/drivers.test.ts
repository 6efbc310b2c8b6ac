/** The driver that the configuration names is the one that is made. */
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../src/daemon/config/load.ts";
import { DaemonWorkers } from "../../../src/daemon/daemon-workers.ts";
import { configuredDriver } from "../../../src/daemon/drivers.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { FakeKeeperHost } from "../../support/fake-keeper/keeper.ts";
import { inlineSeccomp } from "../../support/inline-seccomp.ts";

const parts = {
  keeper: "/parts/keeper",
  fileServer: "/parts/fileserver",
  forkLibrary: undefined,
  kernel: "/parts/vmlinux",
  initramfs: "/parts/initramfs",
  emptyImage: { image: "/parts/empty.ext4", extents: "/parts/empty.json" },
  mkfsErofs: undefined,
  passt: undefined,
  busybox: "/parts/busybox",
  cache: "/parts",
};

function driverOf(toml: string) {
  const config = parseConfig(toml, "blazar.toml");
  const logger = new CapturedLogger();
  const keeper = new FakeKeeperHost().connect();
  return configuredDriver({
    config,
    logger,
    keeper,
    parts,
    workers: new DaemonWorkers(config, logger),
    seccomp: inlineSeccomp,
  });
}

describe("the driver of the configuration", () => {
  it.each([
    ["", "qemu"],
    ['[vmm]\ndriver = "qemu"', "qemu"],
  ])("of %j is %s", (toml, name) => {
    expect(driverOf(toml).name).toBe(name);
  });

  it("forks if there is a library for it, and not otherwise", () => {
    expect(driverOf("").forks).toBeUndefined();
  });
});
