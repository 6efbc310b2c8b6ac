/**
 * blazard as it is, but for its driver: VMs and guests in memory, in this process (test/support/fake-vmm).
 *
 * Everything else is real: RPC, charts, journals, cgroups, keeper, FIFOs, mounts. What the fakes take themselves is
 * part of this process's memory, so that what is measured here is an upper bound.
 */
import { serve } from "../src/daemon/serve.ts";
import { wireDaemon } from "../src/daemon/wiring.ts";
import { FakeVmmDriver } from "../test/support/fake-vmm/driver.ts";

const [config] = process.argv.slice(2);

process.exitCode = await serve({ config }, (loaded) => wireDaemon(loaded, { driver: new FakeVmmDriver() }));
