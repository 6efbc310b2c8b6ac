/** Errors that the runtime survives. It logs them on stderr, which the caller checks. */
import * as std from "std";
import * as sys from "sys";
import { equal, loop, ok, throws, timer, verify } from "./harness.ts";

const GROUP = "resilience";

verify(GROUP, "an unhandled rejection is logged and survived", async () => {
  void Promise.reject(new Error("nobody handles this rejection"));
  await timer(1);
});

verify(GROUP, "a rejection that is handled later in the same turn is none", async () => {
  const promise = Promise.reject(new Error("somebody handles this rejection"));
  await Promise.resolve();
  promise.catch(() => undefined);
  await timer(1);
});

verify(GROUP, "memory over the limit is an exception", () => {
  const hoard: unknown[] = [];
  throws(
    () => {
      for (;;) hoard.push(new ArrayBuffer(1 << 20));
    },
    "InternalError",
    "out of memory",
  );
  ok(hoard.length > 16 && hoard.length < 64, `${hoard.length} MiB of 64`);
  hoard.length = 0;
  std.gc();
  const usage = sys.memoryUsage();
  equal(usage.limit, 64 << 20, "limit");
  ok(usage.allocated < 8 << 20, `${usage.allocated} bytes afterwards`);
});

verify(GROUP, "endless recursion is an exception", () => {
  const recurse = (depth: number): number => 1 + recurse(depth + 1);
  throws(() => recurse(0), "InternalError", "stack overflow");
});

verify(GROUP, "descriptors over the old 1024 work in the loop", async () => {
  const [soft] = sys.getrlimit(0, sys.RLIMIT_NOFILE) as [bigint, bigint];
  equal(sys.prlimit(0, sys.RLIMIT_NOFILE, 4096, 4096), 0, "prlimit");
  const fds: number[] = [];
  while ((fds.at(-1) ?? 0) < 1500) fds.push(sys.eventfd(1));
  const last = fds.at(-1) ?? -1;
  await new Promise<void>((resolve) => {
    const watch = loop.watch(last, {
      readable: () => {
        watch.stop();
        resolve();
      },
    });
  });
  for (const fd of fds) sys.close(fd);
  ok(soft > 0n, "soft limit");
});
