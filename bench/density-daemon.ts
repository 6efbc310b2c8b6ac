/**
 * blazard on a fake driver: VMs and guests are in the memory of this process (test/support/fake-vmm).
 *
 * Everything else is real: RPC, charts, journals, cgroups, keeper, FIFOs, mounts. The fakes take memory, too, so the
 * measured memory is an upper bound.
 */
import { serve } from "../src/daemon/serve.ts";
import { wireDaemon } from "../src/daemon/wiring.ts";
import { FakeVmmDriver } from "../test/support/fake-vmm/driver.ts";

const [config] = process.argv.slice(2);

process.exit(await serve({ config }, (loaded) => wireDaemon(loaded, { driver: new FakeVmmDriver() })));
