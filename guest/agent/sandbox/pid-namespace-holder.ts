/**
 * The first process of a shared PID namespace: it holds the namespace open and reaps the orphans in it.
 *
 * It is a child of the agent and plays the part of a pause container, without an image. Its root is an empty directory, so
 * that /proc/1/root leads a container nowhere.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { cloneChild } from "../../../native/runtime/child.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import type { AgentContext } from "../context.ts";
import { EMPTY } from "../guest-paths.ts";

export class PidNamespaceHolder {
  private readonly pid: number;
  private readonly ended: Promise<void>;

  /** Starts the process. Throws. */
  constructor(context: AgentContext) {
    makeDirectories(EMPTY);
    const pid = cloneChild({ flags: sys.CLONE_NEWPID | sys.CLONE_NEWNS }, hold);
    sys.writeFile(`/proc/${pid}/oom_score_adj`, "-998", sys.O_WRONLY);
    this.pid = pid;
    this.ended = new Promise((resolve) => context.reaper.onExit(pid, () => resolve()));
  }

  /** Opens the namespace. The caller closes the descriptor. */
  open(): number {
    return check(sys.open(`/proc/${this.pid}/ns/pid`, sys.O_RDONLY), "open the sandbox's PID namespace");
  }

  /** Kills the process; with it the kernel kills all others in the namespace. */
  async end(): Promise<void> {
    sys.kill(this.pid, sys.SIGKILL);
    await this.ended;
  }
}

/** In the child. */
function hold(): number {
  sys.prctl(sys.PR_SET_DUMPABLE, 0);
  sys.setsid();
  sys.writeFile("/proc/self/comm", "pause", sys.O_WRONLY);
  check(sys.mount(EMPTY, EMPTY, null, sys.MS_BIND), "bind the empty root", EMPTY);
  check(sys.chdir(EMPTY), "enter the empty root", EMPTY);
  check(sys.pivotRoot(".", "."), "pivot into the empty root", EMPTY);
  check(sys.umount2(".", sys.MNT_DETACH), "leave the guest's root");
  check(sys.chdir("/"), "enter the empty root", "/");
  check(sys.closeRange(0, 0xffff_ffff, 0), "close the agent's descriptors");
  const signals = check(sys.signalfd([sys.SIGCHLD]), "watch children");
  for (;;) {
    sys.poll1(signals, sys.POLLIN, -1);
    sys.readSignal(signals);
    while (sys.waitpid(-1, sys.WNOHANG)[0] > 0);
  }
}
