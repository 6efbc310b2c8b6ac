/*
 * Stands where somebody stands who has taken over a process in a jail: in its namespaces and root, as its user, without
 * capabilities, and under the system call filters that are given. Then it tries what must not work.
 *
 *   invade PID UID FILTER... -- PIDS OF OTHERS     "self" 0: as root, where it stands, to see which tries tell anything
 *
 * Prints a line for each try: its name, a tab, then "yes" or the error. Needs root to get there.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_FILTERS = 4, MAX_INSTRUCTIONS = 4096 };
static struct sock_filter programs[MAX_FILTERS][MAX_INSTRUCTIONS];
static struct sock_fprog filters[MAX_FILTERS];

static void fail(const char *what) {
  fprintf(stderr, "invade: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void tell(const char *name, long result) {
  int error = errno;
  printf("%s\t%s\n", name, result >= 0 ? "yes" : strerror(error));
  fflush(stdout);
}

static void enter(const char *pid) {
  static const char *const names[] = {"ipc", "uts", "net", "pid", "mnt"};
  int places[5];
  for (int index = 0; index < 5; index++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, names[index]);
    if ((places[index] = open(path, O_RDONLY | O_CLOEXEC)) < 0) fail(path);
  }
  char root[64];
  snprintf(root, sizeof root, "/proc/%s/root", pid);
  int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) fail(root);
  for (int index = 0; index < 5; index++)
    if (setns(places[index], 0) < 0) fail(names[index]);
  if (fchdir(directory) < 0 || chroot(".") < 0 || chdir("/") < 0) fail("root");
}

static void become(uid_t user) {
  for (int capability = 0; capability < 64; capability++) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0) fail("user");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail("no new privileges");
}

static void try_files(void) {
  static const char *const paths[] = {"/etc/shadow", "/etc/passwd", "/proc/self/status", "/proc/1/environ", "/sys/kernel",
                                      "/dev/mem", "/dev/kvm", "/run", "/tmp", "/usr/bin/env", "../../../../../etc/shadow"};
  for (size_t index = 0; index < sizeof paths / sizeof *paths; index++) {
    char name[80];
    snprintf(name, sizeof name, "open %s", paths[index]);
    tell(name, open(paths[index], O_RDONLY));
  }
  tell("make a file", open("/invaded.file", O_WRONLY | O_CREAT, 0666));
  tell("make a directory", mkdir("/invaded.directory", 0777));
  tell("make a device", mknod("/invaded.device", S_IFCHR | 0666, 0x103));
  unlink("/invaded.file");
  unlink("/invaded.device");
  rmdir("/invaded.directory");
  struct { struct { unsigned bytes; int type; } handle; unsigned char bytes[8]; } root = {{8, 1}, {2}};
  tell("open by handle", syscall(SYS_open_by_handle_at, AT_FDCWD, &root, O_RDONLY));
}

static void try_network(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(22), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int families[] = {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, 40 /* vsock */, 38 /* alg */, AF_UNIX};
  for (size_t index = 0; index < sizeof families / sizeof *families; index++) {
    char name[40];
    snprintf(name, sizeof name, "socket of family %d", families[index]);
    int kind = families[index] == AF_NETLINK || families[index] == AF_PACKET ? SOCK_RAW : SOCK_STREAM;
    tell(name, socket(families[index], kind, 0));
  }
  tell("connect", connect(0, (struct sockaddr *)&address, sizeof address));
  tell("bind", bind(0, (struct sockaddr *)&address, sizeof address));
}

static void try_others(int count, char **pids) {
  for (int index = 0; index < count; index++) {
    pid_t pid = (pid_t)atoi(pids[index]);
    tell("signal another process", kill(pid, 0));
    tell("trace another process", ptrace(PTRACE_ATTACH, pid, 0, 0));
    tell("pidfd of another process", syscall(SYS_pidfd_open, pid, 0));
    char byte;
    long words[2] = {(long)&byte, 1};
    tell("memory of another process", syscall(SYS_process_vm_readv, pid, words, 1, words, 1, 0));
  }
  tell("signal all", kill(-1, 0));
}

static void try_kernel(void) {
  char space[256] = {0};
  tell("become root", setuid(0));
  tell("io_uring", syscall(SYS_io_uring_setup, 4, space));
  tell("bpf", syscall(SYS_bpf, 0, space, sizeof space));
  tell("userfaultfd", syscall(SYS_userfaultfd, 1));
  tell("perf", syscall(SYS_perf_event_open, space, 0, -1, -1, 0));
  tell("keyctl", syscall(SYS_keyctl, 0, -3, 1));
  tell("add a key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
  tell("load a module", syscall(SYS_finit_module, 0, "", 0));
  tell("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
  tell("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
  tell("mount", mount("x", "/", "tmpfs", 0, ""));
  tell("unmount", umount2("/", MNT_DETACH));
  tell("chroot", chroot("/"));
  tell("new user namespace", unshare(CLONE_NEWUSER));
  tell("new network namespace", unshare(CLONE_NEWNET));
  tell("time namespace", unshare(0x80));
  tell("personality", syscall(SYS_personality, 0x0400000));
  tell("shared memory", syscall(SYS_shmget, 0x6262, 4096, 01600));
  tell("message queue", syscall(SYS_mq_open, "x", O_CREAT, 0600, NULL));
  tell("landlock", syscall(444, NULL, 0, 1));
  tell("secret memory", syscall(447, 0));
  tell("splice", syscall(SYS_splice, 0, NULL, 1, NULL, 1, 0));
  tell("timers", syscall(SYS_timer_create, 0, NULL, space));
  tell("asynchronous I/O", syscall(SYS_io_setup, 16, space));
  tell("real-time scheduling", syscall(SYS_sched_setscheduler, 0, 1, space));
  long limit[2] = {-1, -1};
  tell("raise a limit", syscall(SYS_prlimit64, 0, 1, limit, NULL));
  long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (child == 0) _exit(0);
  tell("another process", child);
  /* an empty file is no program: whoever may execute it hears that */
  tell("execute what is in memory", syscall(SYS_execveat, memfd_create("x", 0), "", NULL, NULL, AT_EMPTY_PATH));
}

int main(int count, char **arguments) {
  int loaded = 0, at = 3;
  if (count < 4) return 2;
  for (; at < count && strcmp(arguments[at], "--") != 0 && loaded < MAX_FILTERS; at++, loaded++) {
    int file = open(arguments[at], O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, programs[loaded], sizeof programs[loaded]);
    if (size <= 0) fail(arguments[at]);
    filters[loaded] = (struct sock_fprog){(unsigned short)((size_t)size / sizeof(struct sock_filter)), programs[loaded]};
    close(file);
  }
  enter(arguments[1]);
  pid_t child = fork();
  if (child > 0) {
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  }
  become((uid_t)atol(arguments[2]));
  for (int index = 0; index < loaded; index++)
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filters[index]) < 0) fail("filter");
  try_files();
  try_network();
  try_others(count - at - 1, arguments + at + 1);
  try_kernel();
  return 0;
}
