/** The PortForwards in memory keeps the promises of the real one. */
import { describe } from "vitest";
import { describePortForwards } from "../../support/conformance/port-forwards.ts";
import { MemoryForwards } from "../../support/memory-host/forwards.ts";

describe("port-forward in memory", () => {
  describePortForwards(async () => {
    const forwards = new MemoryForwards();
    const pod = { id: "pod", netnsPath: "/run/netns/pod" };
    return { forwards, pod, dial: (port, family) => forwards.dial(pod.id, port, family) };
  });
});
