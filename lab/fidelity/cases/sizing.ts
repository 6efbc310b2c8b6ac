/** Cases: what a container's memory limit means, and what is told of a kill for want of memory. */
import type { FidelityCase } from "../case.ts";
import type { ContainerConfig } from "../handler-pod.ts";

const MEBIBYTE = 2 ** 20;

function limited(mebibytes: number): ContainerConfig {
  return { linux: { resources: { memoryLimitInBytes: BigInt(mebibytes * MEBIBYTE) } } };
}

/** Has so many bytes in memory at once: dd(1) reads a block before it writes it. */
function fill(mebibytes: number): string {
  return `dd if=/dev/zero of=/dev/null bs=${Math.floor(mebibytes)}M count=1 2>&1 | tail -n 1`;
}

function pod(mebibytes: number) {
  return { linux: { resources: { memoryLimitInBytes: BigInt(mebibytes * MEBIBYTE) } } };
}

const SIZES = [64, 128, 256].map((mebibytes): FidelityCase => {
  const name = `a container of ${mebibytes} MiB uses 95 percent of it`;
  return { name, pod: pod(mebibytes), run: (own) => own.run(fill(mebibytes * 0.95), limited(mebibytes)) };
});

export const SIZING_CASES: readonly FidelityCase[] = [
  ...SIZES,
  {
    name: "a container beyond its limit is killed, and the reason is told",
    run: (own) => own.run("exec tail /dev/zero", limited(32)),
  },
  {
    name: "a container whose child is killed for want of memory goes on, and the reason is told",
    run: (own) => own.run("(tail /dev/zero); echo $?; exit 3", limited(32)),
  },
  {
    name: "an exec beyond the container's limit",
    run: (own) => own.during((id) => own.execIn(id, "exec tail /dev/zero"), "exec sleep 1000", limited(32)),
  },
  {
    name: "the reason of a container whose exec was killed for want of memory",
    run: (own) =>
      own.during(
        async (id) => {
          await own.execIn(id, "exec tail /dev/zero");
          await own.cri.stopContainer(id, 0);
          const { exitCode, reason } = await own.ended(id);
          return `exit ${exitCode} ${reason}`;
        },
        "exec sleep 1000",
        limited(32),
      ),
  },
];
