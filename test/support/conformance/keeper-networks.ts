/** The part of the keeper's suite about network namespaces: uplinks that it makes, and networks that it watches. */
import { expect, it, vi } from "vitest";
import type { KeeperBench } from "./keeper-bench.ts";

export function uplinkPromises(bench: () => KeeperBench): void {
  const spec = (id: string) => ({ id, uid: 61_300, gid: 61_300, tap: "eth0" });

  it("have a namespace each, until they are dropped, also by another daemon", async () => {
    if (!bench().taps) return;
    const { keeper } = bench();
    const [first, second] = [await keeper.makeUplink(spec("one")), await keeper.makeUplink(spec("two"))];
    expect(first).not.toBe(second);
    await expect(keeper.makeUplink(spec("one"))).rejects.toMatchObject({ code: "IllegalTransition" });
    const later = await bench().restartDaemon();
    await later.dropUplink("one");
    await later.dropUplink("one");
    await later.dropUplink("never made");
    await later.makeUplink(spec("one"));
  });
}

export function networkPromises(bench: () => KeeperBench): void {
  it("tells what changes while it is watched, by its id", async () => {
    const { keeper } = bench();
    const [one, other] = [bench().network(), bench().network()];
    if (one === undefined || other === undefined) return;
    const [changed, spared] = [vi.fn(), vi.fn()];
    await keeper.watchNetwork("one", one.path, changed);
    await keeper.watchNetwork("other", other.path, spared);
    one.change();
    await vi.waitFor(() => expect(changed).toHaveBeenCalled());
    expect(spared).not.toHaveBeenCalled();
    await keeper.unwatchNetwork("one");
    changed.mockClear();
    one.change();
    other.change();
    await vi.waitFor(() => expect(spared).toHaveBeenCalled());
    expect(changed).not.toHaveBeenCalled();
    await keeper.unwatchNetwork("other");
    await keeper.unwatchNetwork("unknown");
  });

  it("has one watch an id: the last one", async () => {
    const { keeper } = bench();
    const [one, other] = [bench().network(), bench().network()];
    if (one === undefined || other === undefined) return;
    const [first, second] = [vi.fn(), vi.fn()];
    await keeper.watchNetwork("pod", one.path, first);
    await keeper.watchNetwork("pod", other.path, second);
    one.change();
    other.change();
    await vi.waitFor(() => expect(second).toHaveBeenCalled());
    expect(first).not.toHaveBeenCalled();
  });

  it("refuses a path where there is none, and forgets all with the daemon", async () => {
    const { keeper } = bench();
    const network = bench().network();
    if (network === undefined) return;
    const watching = keeper.watchNetwork("pod", "/run/netns/blz-never", () => undefined);
    await expect(watching).rejects.toMatchObject({ code: "HostResource" });
    const [before, after] = [vi.fn(), vi.fn()];
    await keeper.watchNetwork("pod", network.path, before);
    const next = await bench().restartDaemon();
    await next.watchNetwork("pod", network.path, after);
    network.change();
    await vi.waitFor(() => expect(after).toHaveBeenCalled());
    expect(before).not.toHaveBeenCalled();
  });
}
