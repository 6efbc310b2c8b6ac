/** How a file server is started: what it may have of the host, and that a start which fails leaves nothing. */
import { describe, expect, it } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { FileServerSpec } from "../../../../src/contracts/file-servers.ts";
import { MOST_LOG_BYTES } from "../../../../src/host/bounded-logs.ts";
import { KeeperFileServers } from "../../../../src/host/storage/file-servers.ts";
import { FakeKeeperHost } from "../../../support/fake-keeper/keeper.ts";
import { inlineSeccomp } from "../../../support/inline-seccomp.ts";

const SPEC: FileServerSpec = {
  id: "vm-layers",
  kind: "layers",
  directory: "/run/share",
  changes: true,
  socket: "/run/vm/share.sock",
  user: { uid: 5000, gid: 5001 },
  cgroups: ["/cgroup/pod/cgroup.procs"],
};

function started(spec: Partial<typeof SPEC> | { readonly user: undefined } = {}) {
  const host = new FakeKeeperHost();
  const keeper = host.connect();
  const servers = new KeeperFileServers({ keeper, binary: "/parts/fileserver", seccomp: inlineSeccomp });
  const start = (signal = new AbortController().signal) => servers.start({ ...SPEC, ...spec }, signal);
  return { host, keeper, start };
}

describe("a file server", () => {
  it("is the VM's user, with one capability, in a jail with the share alone", async () => {
    const { host, start } = started();
    await start();
    expect(host.processes.get("vm-layers")?.spec).toMatchObject({
      argv: ["/fileserver", "--root", "/share", "--listener", "3"],
      uid: 5000,
      gid: 5001,
      groups: [],
      capabilities: ["CAP_DAC_READ_SEARCH"],
      sockets: [{ fd: 3, path: "/run/vm/share.sock", mode: 0o600 }],
      cgroups: SPEC.cgroups,
      jail: {
        mounts: [
          { source: "/run/share", target: "/share", readonly: true, follow: true, temporary: false },
          { source: "/parts/fileserver", target: "/fileserver", temporary: true },
        ],
      },
    });
  });

  it("of volumes may change them as a container's root may, and makes no device", async () => {
    const { host, start } = started({ kind: "volumes" });
    await start();
    const { capabilities, jail } = host.processes.get("vm-layers")?.spec ?? {};
    expect(capabilities).toContain("CAP_DAC_OVERRIDE");
    expect(capabilities).not.toContain("CAP_MKNOD");
    expect(jail?.mounts[0]).toMatchObject({ source: "/run/share", readonly: false, follow: true });
  });

  it("of layers cannot fill the state directory with its log", async () => {
    const { host, start } = started();
    await start();
    const limit = host.processes.get("vm-layers")?.spec.rlimits.find(({ type }) => type === "RLIMIT_FSIZE");
    expect(limit?.hard).toBeGreaterThan(MOST_LOG_BYTES);
    expect(limit?.hard).toBeLessThanOrEqual(8 * MOST_LOG_BYTES);
  });

  it("is told the maps of a pod with a user namespace", async () => {
    const mapping = { containerId: 0, hostId: 200_000, size: 10 };
    const uids = [mapping, { containerId: 50, hostId: 300_000, size: 1 }];
    const { host, start } = started({ kind: "volumes", maps: { uids, gids: [mapping] } });
    await start();
    const { argv } = host.processes.get("vm-layers")?.spec ?? {};
    const maps = ["--uid-map", "0:200000:10,50:300000:1", "--gid-map", "0:200000:10"];
    expect(argv).toEqual(["/fileserver", "--writable", ...maps, "--root", "/share", "--listener", "3"]);
  });

  it("leaves a directory of somebody else's as it is", async () => {
    const { host, start } = started({ changes: false });
    await start();
    expect(host.processes.get("vm-layers")?.spec.jail?.mounts[0]?.follow).toBe(false);
  });

  it("has no jail where the daemon is no root", async () => {
    const { host, start } = started({ user: undefined });
    await start();
    const spec = host.processes.get("vm-layers")?.spec;
    expect(spec?.jail).toBeUndefined();
    expect(spec?.argv).toEqual(["/parts/fileserver", "--root", "/run/share", "--listener", "3"]);
  });

  it("is gone if its jail cannot be sealed", async () => {
    const { host, keeper, start } = started();
    keeper.seal = () => Promise.reject(blazarError("HostResource", "seal a jail", "a fault of the test"));
    await expect(start()).rejects.toThrow("a fault of the test");
    expect(host.processes.size).toBe(0);
  });

  it("is not started for a signal that has aborted", async () => {
    const { host, start } = started();
    await expect(start(AbortSignal.abort())).rejects.toMatchObject({ code: "Cancelled" });
    expect(host.processes.size).toBe(0);
  });
});
