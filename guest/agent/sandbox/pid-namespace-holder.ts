/**
 * The first process of a shared PID namespace: it holds the namespace open and reaps the orphans in it.
 *
 * It is a child of the agent and plays the part of a pause container, without an image. Its root is an empty directory, so
 * that /proc/1/root leads a container nowhere.
 */
import * as sys from "sys";
import { check, checkValue } from "../../../native/runtime/check.ts";
import { type ChildReaper, cloneChild } from "../../../native/runtime/child.ts";
import { makeDirectories, writeAll } from "../../../native/runtime/files.ts";
import { decode, encode } from "../../../native/runtime/text-codec.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { AgentContext } from "../context.ts";
import { EMPTY } from "../guest-paths.ts";
import type { UserNamespace } from "./user-namespace.ts";

const FLAGS = sys.CLONE_NEWPID | sys.CLONE_NEWNS;

export class PidNamespaceHolder {
  private readonly pid: number;
  private readonly ended: Promise<void>;

  /** Starts the process; with a user namespace, that owns the PID namespace. Throws. */
  constructor(context: AgentContext, userNamespace?: UserNamespace) {
    makeDirectories(EMPTY);
    const pid =
      userNamespace === undefined
        ? cloneChild({ flags: FLAGS }, hold)
        : cloneFromInside(context.reaper, userNamespace.descriptors.user);
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

/** The pid of a child of the agent that is cloned by a process inside of a user namespace. Throws. */
function cloneFromInside(reaper: ChildReaper, user: number): number {
  const [reader, writer] = checkValue(sys.pipe2(0), "make a pipe");
  try {
    const inside = cloneChild({}, () => {
      check(sys.setns(user, sys.CLONE_NEWUSER), "enter the pod's user namespace");
      const pid = cloneChild({ flags: FLAGS | sys.CLONE_PARENT }, hold);
      writeAll(writer, encode(String(pid)));
      return 0;
    });
    reaper.onExit(inside, () => undefined);
    sys.close(writer);
    const buffer = new Uint8Array(16);
    const count = sys.read(reader, buffer.buffer, 0, buffer.length);
    const pid = count > 0 ? Number(decode(buffer.subarray(0, count))) : 0;
    if (pid > 0) return pid;
    throw blazarError("GuestFailed", "make the pod's PID namespace", "the child that makes it has ended");
  } finally {
    sys.close(reader);
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
