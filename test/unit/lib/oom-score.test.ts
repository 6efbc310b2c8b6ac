import { expect, it } from "vitest";
import { oomScoreAdj } from "../../../src/lib/oom-score.ts";

const CGROUPFS = "/sys/fs/cgroup/memory/kubepods";
const SYSTEMD = "/sys/fs/cgroup/kubepods.slice";
const at = (path: string, share = 0.25): number => oomScoreAdj([`${path}/sandbox/cgroup.procs`], share);

it.each([
  [`${CGROUPFS}/besteffort/pod1`, 1000],
  [`${SYSTEMD}/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice`, 1000],
  [`${CGROUPFS}/burstable/pod1`, 750],
  [`${SYSTEMD}/kubepods-burstable.slice/kubepods-burstable-pod1.slice`, 750],
  [`${CGROUPFS}/pod1`, -997],
  [`${SYSTEMD}/kubepods-pod1.slice`, -997],
  // kind and k3s have a root of their own
  ["/sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/x.slice", 1000],
  ["/sys/fs/cgroup/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice", -997],
  ["/sys/fs/cgroup/kubelet/kubepods/burstable/pod1", 750],
  ["/sys/fs/cgroup/blazar/0123", 0],
])("of a pod in %s is %i", (path, score) => {
  expect(at(path)).toBe(score);
});

it("of a burstable pod stays between the other classes", () => {
  expect(at(`${CGROUPFS}/burstable/pod1`, 0)).toBe(999);
  expect(at(`${CGROUPFS}/burstable/pod1`, 4)).toBe(3);
});

it("of a VM without a pod is the highest", () => {
  expect(oomScoreAdj([], 1)).toBe(1000);
});
