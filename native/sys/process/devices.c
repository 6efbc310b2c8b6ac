/*
 * Device rules of a cgroup: bpf(2) with BPF_PROG_TYPE_CGROUP_DEVICE.
 *
 * The program's instructions come from the host (src/protocol/guest/device-program.ts); the kernel's verifier checks them.
 */
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/sys.h"

static long bpf(int command, union bpf_attr *attributes) {
  return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

SYS_FUNCTION(f_load_device_program) {
  struct sys_bytes bytes;
  SYS_ARGS("b", &bytes);
  size_t count = bytes.length / sizeof(struct bpf_insn);
  if (count == 0 || count > BPF_MAXINSNS || bytes.length % sizeof(struct bpf_insn))
    return JS_ThrowRangeError(ctx, "a program has 1 to %d instructions of %d bytes", BPF_MAXINSNS,
                              (int)sizeof(struct bpf_insn));
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insn_cnt = (uint32_t)count;
  attributes.insns = (uintptr_t)bytes.data;
  attributes.license = (uintptr_t) "Apache";
  return sys_result(ctx, bpf(BPF_PROG_LOAD, &attributes)); /* close-on-exec by itself */
}

SYS_FUNCTION(f_attach_device_program) {
  int cgroup, program;
  SYS_ARGS("ff", &cgroup, &program);
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.target_fd = (uint32_t)cgroup;
  attributes.attach_bpf_fd = (uint32_t)program;
  attributes.attach_type = BPF_CGROUP_DEVICE;
  /* a container that may make cgroups can restrict its own further, as runc's can */
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  return sys_result(ctx, bpf(BPF_PROG_ATTACH, &attributes));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("loadDeviceProgram", 3, f_load_device_program),
    JS_CFUNC_DEF("attachDeviceProgram", 2, f_attach_device_program),
};
SYS_GROUP(sys_devices_group, functions);
