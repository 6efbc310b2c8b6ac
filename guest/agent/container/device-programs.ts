/**
 * The programs that decide which devices a container may use: bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE.
 *
 * Loading a program has the kernel verify it, and most containers have the same rules, so loaded programs are kept. The
 * first one is also attached to a cgroup without processes: the kernel patches its code when the first cgroup program is
 * attached and when the last one is gone (static keys: kernel/bpf/cgroup.c).
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { BlazarError } from "../../../src/contracts/errors.ts";

const MAX_KEPT = 8;
const OPERATION = "load the device rules";

export class DevicePrograms {
  /** Descriptors of loaded programs, the least recently used first. */
  private readonly loaded = new Map<string, number>();
  private inUse = false;

  /** `kept`: the path of a cgroup that stays. */
  constructor(private readonly kept: string) {}

  /** Has a program, in base64, decide for a cgroup. "" allows everything. Throws, and then no rule holds. */
  attach(cgroup: number, program: string): void {
    if (program === "") return;
    const fd = this.load(program);
    if (!this.inUse) this.attachToKept(fd);
    check(sys.attachDeviceProgram(cgroup, fd), "attach the device rules to a cgroup");
  }

  private load(program: string): number {
    const known = this.loaded.get(program);
    const fd = known ?? loadProgram(program);
    this.loaded.delete(program);
    this.loaded.set(program, fd);
    const [oldest] = this.loaded;
    if (this.loaded.size > MAX_KEPT && oldest !== undefined) {
      this.loaded.delete(oldest[0]);
      sys.close(oldest[1]);
    }
    return fd;
  }

  private attachToKept(program: number): void {
    const cgroup = check(sys.open(this.kept, sys.O_RDONLY | sys.O_DIRECTORY), "open a cgroup", this.kept);
    const result = sys.attachDeviceProgram(cgroup, program);
    sys.close(cgroup);
    check(result, "attach the device rules to a cgroup", this.kept);
    this.inUse = true;
  }
}

function loadProgram(base64: string): number {
  try {
    const program = sys.base64Decode(base64);
    const fd = sys.loadDeviceProgram(program, 0, program.byteLength);
    if (fd >= 0) return fd;
    throw failure(fd, "InvalidSpec", OPERATION, `${program.byteLength / 8} instructions`);
  } catch (error) {
    // what is no base64, or not whole instructions, is thrown by the calls themselves
    throw BlazarError.wrap(error, "InvalidSpec", { operation: OPERATION });
  }
}
