/*
 * The copy's first steps: namespaces and descriptors of its own, another user, its name, the VMM's system call filter;
 * then its threads.
 *
 * Follows unshare(2), setresuid(2), capset(2), seccomp(2). The copy has one thread here, and must not use malloc or stdio: in the
 * original, another thread may have held their locks.
 */
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-fork.h"

enum {
  CONFUSED = 125, /* status of a copy that could not be made whole */
  MAX_CAPABILITIES = 64,
};

void complain(const char *what, const char *name) {
  char line[512];
  char *end = stpcpy(line, "fork: ");
  end = stpncpy(end, what, 100);
  end = stpcpy(end, ": ");
  end = stpncpy(end, name, 300);
  end = stpcpy(end, "\n");
  if (write(STDERR_FILENO, line, (size_t)(end - line)) < 0) return;
}

void __attribute__((noreturn)) give_up(const char *what, const char *name) {
  complain(what, name);
  for (;;) syscall(SYS_exit_group, CONFUSED);
}

/* ps(1) shows what stands in the command line: the name is overwritten there, as far as it fits. */
static void show_name(const char *name) {
  if (shown_name == NULL || *name == '\0') return;
  for (char *at = shown_name; *at != '\0'; at++) *at = *name != '\0' ? *name++ : ' ';
}

/* Becomes another user, with the named capabilities and no others. Threads that are cloned later inherit this. */
static void become(const char *uid, const char *gid, const char *mask) {
  if (*uid == '\0') return;
  long user = strtol(uid, NULL, 10), group = strtol(gid, NULL, 10);
  uint64_t kept = strtoull(mask, NULL, 16);
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {
      {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
      {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
  };
  for (int capability = 0; capability < MAX_CAPABILITIES; capability++)
    if (!(kept >> capability & 1)) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  if (syscall(SYS_setgroups, 0, NULL) < 0) give_up("setgroups", "none");
  if (syscall(SYS_setresgid, group, group, group) < 0) give_up("setresgid", gid);
  if (syscall(SYS_setresuid, user, user, user) < 0) give_up("setresuid", uid);
  if (syscall(SYS_capset, &header, data) < 0) give_up("capset", mask);
}

/* The PID namespace is there from the start (fork_whole); here every copy makes the others in its own time. */
static void enter_namespaces(const char *jail) {
  if (*jail == '\0') return;
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET) < 0) give_up("unshare", "namespaces");
}

static void load(const struct sock_fprog *program, const char *name) {
  if (program->len == 0) return;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) give_up("prctl", "no new privileges");
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0) give_up("seccomp", name);
}

void __attribute__((noreturn)) become_whole(char **words, const int *given, int count, int others) {
  threads_enter_copy();
  setsid();
  enter_namespaces(words[WORD_JAIL]);
  descriptors_renew(given, count);
  become(words[WORD_UID], words[WORD_GID], words[WORD_CAPABILITIES]);
  show_name(words[WORD_NAME]);
  for (int index = 0; index < MAX_WALLS; index++) load(&walls[index], "the filter of a jail");
  load(&filter, "the VMM's filter");
  threads_restart(others);
  for (;;) pause();
}
