/** Processes, signals, limits. */
import * as sys from "sys";
import { cloneChild, type ExitStatus, shellStatus, spawnChild } from "../runtime/child.ts";
import { readText } from "../runtime/files.ts";
import { watchSignals } from "../runtime/signals.ts";
import { encode } from "../runtime/text-codec.ts";
import {
  checkValue,
  equal,
  execute,
  inChild,
  loop,
  ok,
  readToEnd,
  reaper,
  rejection,
  verify,
} from "./harness.ts";

const GROUP = "processes";

function exitOf(pid: number): Promise<ExitStatus> {
  return new Promise((resolve) => {
    reaper.onExit(pid, resolve);
  });
}

verify(GROUP, "clone, execute and wait", () => {
  equal(execute("/bin/echo", "a", "b c"), { code: 0, output: "a b c\n" }, "echo");
  equal(execute("/bin/false").code, 1, "false");
  equal(execute("/nonexistent").code, 127, "execve returned");
});

verify(GROUP, "a throw in a child ends it with 70", async () => {
  const pid = cloneChild({}, () => {
    sys.close(2);
    throw new Error("on purpose");
  });
  equal(await exitOf(pid), { code: 70 }, "status");
});

verify(GROUP, "a killed child is told apart from one that exits", async () => {
  const sleeper = cloneChild({}, () => sys.poll1(-1, 0, 60_000));
  const status = exitOf(sleeper);
  equal(sys.kill(sleeper, sys.SIGKILL), 0, "kill");
  equal(await status, { signal: sys.SIGKILL }, "status");
  equal(shellStatus(await status), 137, "as a shell says it");
});

verify(GROUP, "many children that end at once are all reaped", async () => {
  const ends = Array.from({ length: 100 }, (_, index) => exitOf(cloneChild({}, () => index)));
  const codes = (await Promise.all(ends)).map((status) => status.code);
  equal(
    codes,
    Array.from({ length: 100 }, (_, index) => index),
    "codes",
  );
});

verify(GROUP, "an end before anybody asks is kept", async () => {
  const pid = cloneChild({}, () => 5);
  await exitOf(cloneChild({}, () => 0));
  equal(await exitOf(pid), { code: 5 }, "status");
});

verify(GROUP, "a child hands over to a sibling in its own memory", async () => {
  for (const flags of [0, sys.CLONE_NEWPID]) {
    const [reader, writer] = checkValue(sys.pipe2(0), "pipe");
    const first = cloneChild({}, () => {
      const pid = sys.handOver(flags);
      const line = encode(`${pid} ${sys.getpid()} ${sys.getppid()}`);
      sys.write(writer, line.buffer, 0, line.length);
      return 7;
    });
    sys.close(writer);
    const [pid = 0, own = 0, parent = 0] = readToEnd(reader).split(" ").map(Number);
    sys.close(reader);
    ok(pid > 0 && pid !== first, `a new process: ${pid}`);
    equal([own, parent], flags === 0 ? [pid, sys.getpid()] : [1, 0], "its own pids");
    equal(await exitOf(pid), { code: 7 }, "status");
    ok(!reaper.hasEnded(first), "the memory outlives it, so that an execve does not tear it down");
    equal(await exitOf(first), { code: 0 }, "status of the first");
  }
});

verify(GROUP, "what cannot hand over goes on", async () => {
  const pid = cloneChild({}, () => (sys.handOver(0, 0) < 0 ? 5 : 6));
  equal(await exitOf(pid), { code: 5 }, "descriptor 0 is no cgroup");
});

verify(GROUP, "memory that was populated has no more faults", () => {
  const memory = new Uint8Array(1 << 20).fill(1);
  const faults = (): number => Number(readText("/proc/self/stat").split(") ")[1]?.split(" ")[7]);
  inChild(() => {
    equal(sys.populateMemory(), 0, "populate");
    const before = faults();
    for (let offset = 0; offset < memory.length; offset += 4096) memory[offset] = 2;
    ok(faults() - before < 50, `${faults() - before} faults for 256 pages`);
    equal(memory[1], 1, "content");
  });
  equal(memory[0], 1, "the parent's");
});

verify(GROUP, "spawnChild gives the pid once execve has worked", async () => {
  const [reader, writer] = checkValue(sys.pipe2(0), "pipe");
  let registered: Promise<ExitStatus> | undefined;
  const pid = await spawnChild(
    loop,
    {},
    () => {
      sys.dup2(writer, 1);
      return { path: "/bin/sh", argv: ["sh", "-c", "echo $X; exit 3"], env: ["X=from env"] };
    },
    (started) => {
      registered = exitOf(started);
    },
  );
  sys.close(writer);
  equal(readToEnd(reader), "from env\n", "output");
  sys.close(reader);
  ok(pid > 0, "pid");
  equal(await registered, { code: 3 }, "status");
});

verify(GROUP, "preparation may place files at any low number", async () => {
  const pid = await spawnChild(loop, {}, () => {
    for (let fd = 3; fd < 64; fd++) sys.dup2(0, fd);
    return { path: "/bin/true", argv: ["true"], env: [] };
  });
  equal(await exitOf(pid), { code: 0 }, "status");
});

verify(GROUP, "spawnChild rejects with what happened in the child", async () => {
  const missing = await rejection(
    spawnChild(loop, {}, () => ({ path: "/nonexistent", argv: ["x"], env: [] })),
  );
  equal([missing.code, missing.details.subject], ["CommandNotFound", "/nonexistent"], "missing");
  const denied = await rejection(spawnChild(loop, {}, () => ({ path: "/etc/passwd", argv: ["x"], env: [] })));
  equal(denied.code, "CommandNotExecutable", "not executable");
  const thrown = await rejection(
    spawnChild(loop, {}, () => {
      throw new Error("preparation failed");
    }),
  );
  equal([thrown.code, thrown.details.reason], ["Internal", "preparation failed"], "thrown");
});

verify(GROUP, "a child has default signals, none blocked or ignored", () => {
  inChild(() => {
    const status = readText("/proc/self/status");
    for (const mask of ["SigBlk", "SigIgn", "SigCgt"]) {
      const value = new RegExp(`${mask}:\\s*(\\w+)`).exec(status)?.[1];
      equal(BigInt(`0x${value ?? "f"}`), 0n, mask);
    }
  });
  ok(
    /SigIgn:\s*0*1000\n/.test(readText("/proc/self/status")),
    "the runtime ignores SIGPIPE and nothing else",
  );
});

verify(GROUP, "signals arrive in the loop", async () => {
  const seen: number[] = [];
  await new Promise<void>((resolve) => {
    const stop = watchSignals(loop, [sys.SIGUSR1, sys.SIGUSR2], (signal) => {
      seen.push(signal);
      if (seen.length < 2) return;
      stop();
      resolve();
    });
    sys.kill(sys.getpid(), sys.SIGUSR1);
    sys.kill(sys.getpid(), sys.SIGUSR2);
  });
  equal(seen, [sys.SIGUSR1, sys.SIGUSR2], "signals");
});

verify(GROUP, "a pidfd becomes readable at the end and takes signals", async () => {
  const pid = cloneChild({}, () => sys.poll1(-1, 0, 60_000));
  const status = exitOf(pid);
  const fd = sys.pidfdOpen(pid);
  ok(fd >= 0, `pidfd_open: ${fd}`);
  equal(sys.poll1(fd, sys.POLLIN, 0), 0, "alive");
  equal(sys.pidfdSendSignal(fd, sys.SIGTERM), 0, "signal");
  equal(await status, { signal: sys.SIGTERM }, "status");
  equal(sys.poll1(fd, sys.POLLIN, 1000) & sys.POLLIN, sys.POLLIN, "ended");
  sys.close(fd);
});

verify(GROUP, "limits, sessions, priority, affinity, names", () => {
  inChild(() => {
    equal(sys.prlimit(0, sys.RLIMIT_NOFILE, 100, 200), 0, "prlimit");
    equal(sys.getrlimit(0, sys.RLIMIT_NOFILE), [100n, 200n], "getrlimit");
    equal(sys.prlimit(0, sys.RLIMIT_CPU, 2 ** 64, sys.RLIM_INFINITY), 0, "infinity as JSON gives it");
    equal(sys.getrlimit(0, sys.RLIMIT_CPU), [sys.RLIM_INFINITY, sys.RLIM_INFINITY], "infinity");
    equal(sys.setsid(), sys.getpid(), "setsid");
    equal(sys.setpgid(0, 0), -sys.EPERM, "setpgid of a session leader");
    equal(sys.setpriority(0, 5), 0, "setpriority");
    equal(sys.setAffinity(0, [0]), 0, "affinity");
    equal(sys.setProcessName("blazar-test"), 0, "name");
    equal(readText("/proc/self/comm"), "blazar-test\n", "name");
    ok(/Cpus_allowed:\s*[0,]*1\n/.test(readText("/proc/self/status")), "affinity");
  });
});

verify(GROUP, "abort in a child kills the child", () => {
  const pid = cloneChild({}, () => {
    sys.kill(sys.getpid(), sys.SIGABRT);
    return 0;
  });
  equal(sys.waitpid(pid, 0), [pid, -1, sys.SIGABRT], "status");
});
