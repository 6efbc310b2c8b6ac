/**
 * Device rules of a cgroup: bpf(2) with BPF_PROG_TYPE_CGROUP_DEVICE (devices.c).
 */

declare module "sys" {
  /** Loads an array of struct bpf_insn. The kernel refuses a program that its verifier does not understand. */
  export function loadDeviceProgram(buffer: ArrayBuffer, offset: number, length: number): Descriptor;
  /** Has a loaded program decide about devices for all processes of a cgroup, and of those below it. */
  export function attachDeviceProgram(cgroup: number, program: number): Result;
}
