/**
 * A process that is not the keeper's child: another keeper has started it and has died. pidfd_open(2).
 *
 * The descriptor stands for this one process, so a signal cannot hit a pid that was given out again. It becomes readable
 * when the process ends; how it ended only its parent is told, which is nobody here.
 */
import * as sys from "sys";
import { failure } from "../../native/runtime/check.ts";
import type { EventLoop, Watch } from "../../native/runtime/event-loop.ts";
import { processStartTime } from "../../native/runtime/files.ts";
import { blazarError } from "../../src/contracts/errors.ts";
import type { ProcessIdentity } from "../../src/protocol/keeper/messages.ts";

const OPERATION = "adopt a process";

export class AdoptedProcess {
  private readonly watch: Watch;
  /** Called once, in a later pass of the loop. */
  onEnd: () => void = () => undefined;

  private constructor(
    loop: EventLoop,
    private readonly fd: number,
  ) {
    this.watch = loop.watch(fd, { readable: () => this.ended() });
  }

  /** Throws ProcessNotFound if there is none with this start time, or HostResource. */
  static find(loop: EventLoop, { pid, startTime }: ProcessIdentity, id: string): AdoptedProcess {
    const fd = sys.pidfdOpen(pid);
    if (fd < 0 && fd !== -sys.ESRCH) throw failure(fd, "HostResource", OPERATION, id);
    // Looked at only now: from here on the pid cannot become another process's unseen.
    if (fd >= 0 && processStartTime(pid) === startTime) return new AdoptedProcess(loop, fd);
    if (fd >= 0) sys.close(fd);
    throw blazarError("ProcessNotFound", OPERATION, `process ${pid} has ended`, { subject: id });
  }

  /** Negative: errno. */
  signal(signal: number): number {
    return sys.pidfdSendSignal(this.fd, signal);
  }

  private ended(): void {
    this.watch.stop();
    sys.close(this.fd);
    this.onEnd();
  }
}
