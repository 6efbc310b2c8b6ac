/** How pasta is started: what it may have of the host. */
import { expect, test } from "vitest";
import { MOST_LOG_BYTES } from "../../../../src/host/bounded-logs.ts";
import { pastaProcess } from "../../../../src/host/network/host-network/pasta.ts";

const family = { address: "192.0.2.7", prefix: 24, gateway: "192.0.2.1" };

test("its log cannot fill the directory that it is in, and has room until it is cut", () => {
  const { rlimits } = pastaProcess({
    ...{ id: "u1-pasta", uplink: "u1", program: "/parts/passt", user: { uid: 5000, gid: 5000 } },
    ...{ directory: "/run/blazar/uplinks/u1", cgroups: [], ports: [], resolver: undefined },
    plan: { link: "eth0", mac: "02:00:00:00:00:01", v4: family, v6: undefined } as never,
  });
  const limit = rlimits.find(({ type }) => type === "RLIMIT_FSIZE");
  expect(limit?.hard).toBeGreaterThan(MOST_LOG_BYTES);
  expect(limit?.hard).toBeLessThanOrEqual(8 * MOST_LOG_BYTES);
});
