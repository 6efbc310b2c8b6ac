/*
 * The last program: execve(2) and execveat(2) are refused from here on (seccomp(2)).
 *
 * The list of system calls that a VMM may make holds from before execve(2) on, so it has to let that one through. QEMU takes it away
 * by a filter of its own, where it was built with one. Where it was not, as in Debian's qemu-system-x86_64-microvm, this is
 * loaded before QEMU's main. The list keeps other architectures' calls away.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-fork.h"

void programs_forbid(void) {
  struct sock_filter refuse[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof refuse / sizeof *refuse, .filter = refuse};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) give_up("prctl", "no new privileges");
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) give_up("seccomp", "the last program");
}
