/**
 * A keeper in memory whose processes are also the VMs of a driver in memory: they are undone as real ones are, and nobody looks
 * for their pids on the real host.
 */
import type { Keeper } from "../../../src/contracts/keeper.ts";
import type { FakeVmmDriver } from "../fake-vmm/driver.ts";
import type { FakeVm } from "../fake-vmm/vm.ts";

export function keeperOfVms<Client extends Keeper>(client: Client, driver: FakeVmmDriver): Client {
  const isOwn = (id: string) => client.inventory().processes.some((each) => each.id === id);
  const vmOf = (id: string) => (isOwn(id) ? undefined : driver.vms.get(id));
  const overrides: Pick<Keeper, "inventory" | "signal" | "exited" | "forget"> = {
    inventory: () => {
      const { processes, stdio } = client.inventory();
      return { processes: [...processes, ...[...driver.vms.values()].map(processOf)], stdio };
    },
    signal: async (id, signal) => {
      const vm = vmOf(id);
      if (vm === undefined) return client.signal(id, signal);
      vm.die(-1, signal);
    },
    exited: async (id) => {
      const vm = vmOf(id);
      return vm === undefined ? client.exited(id) : { id, ...(await vm.exited) };
    },
    forget: async (id) => {
      if (vmOf(id) === undefined) await client.forget(id);
    },
  };
  return new Proxy(client, {
    get: (target, name) => {
      if (Object.hasOwn(overrides, name)) return overrides[name as keyof typeof overrides];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function processOf({ id, identity, exit }: FakeVm) {
  return { id, identity, ...(exit === undefined ? {} : { exit: { id, ...exit } }) };
}
