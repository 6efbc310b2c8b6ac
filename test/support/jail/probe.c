/*
 * Tries what a process in a jail must not be able to do, and prints a line for each: its name, a tab, then "yes" or
 * the errno.
 *
 * A first argument is a number of milliseconds to wait before, so that the jail can be sealed. Then come pids of processes
 * outside. It is a static program, and runs without any file. Descriptor 20 is a tap.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *name, long result) {
  int error = errno;
  printf("%s\t%s\n", name, result >= 0 ? "yes" : strerror(error));
}

static void tell_open(const char *path) {
  char name[128];
  snprintf(name, sizeof name, "open %s", path);
  tell(name, open(path, O_RDONLY));
}

static void tell_list(void) {
  DIR *root = opendir("/");
  printf("list /\t");
  for (struct dirent *entry; root && (entry = readdir(root));)
    if (entry->d_name[0] != '.') printf("%s ", entry->d_name);
  printf("\n");
}

static int tcp(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
}

static int abstract(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path + 1, name);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static void tell_links(void) {
  struct ifreq requests[16];
  struct ifconf list = {.ifc_len = sizeof requests, .ifc_req = requests};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  printf("links with an address\t%d\n", ioctl(fd, SIOCGIFCONF, &list) < 0 ? -errno : list.ifc_len);
}

enum { TAP = 20 };

static void tell_tap_request(const char *name, unsigned long request, void *argument) {
  tell(name, ioctl(TAP, (int)request, argument));
}

/* A VMM sets its tap's offloads. All else of it is somebody else's. The numbers are those of linux/if_tun.h and sockios.h. */
static void tell_tap(void) {
  struct ifreq request = {.ifr_name = "other"};
  int buffer = 1 << 20;
  tell_tap_request("tap offloads", 0x400454d0, (void *)3);
  tell_tap_request("tap send buffer", 0x400454d4, &buffer);
  tell_tap_request("tap name", 0x800454d2, &request);
  tell_tap_request("another tap", 0x400454ca, &request);
  tell_tap_request("persistent tap", 0x400454cb, (void *)1);
  tell_tap_request("tap queue", 0x400454d9, &request);
  tell_tap_request("tap owner", 0x400454cc, (void *)0);
  tell_tap_request("tap filter", 0x401054d5, &request);
  tell_tap_request("tap address", SIOCSIFHWADDR, &request);
  tell_tap_request("tap namespace", 0x894c, NULL);
}

/* In a child, as it changes the process. */
static void tell_namespace(const char *name, int flags) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    tell(name, unshare(flags));
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}

static long clone_in(unsigned long flags) {
  fflush(stdout);
  long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid;
}

static void tell_status(void) {
  /* capget(2) by number: header and two sets */
  struct { unsigned version; int pid; } header = {0x20080522, 0};
  unsigned sets[6] = {0};
  syscall(SYS_capget, &header, sets);
  unsigned any = 0;
  for (int index = 0; index < 6; index++) any |= sets[index];
  printf("capabilities\t%x\n", any);
  printf("pid\t%d\n", (int)getpid());
  char host[128];
  gethostname(host, sizeof host);
  printf("host\t%s\n", host);
}

int main(int count, char **arguments) {
  usleep((useconds_t)(count > 1 ? atoi(arguments[1]) : 0) * 1000);
  tell_status();
  tell_list();
  tell_open("/etc/shadow");
  tell_open("/etc/hostname");
  tell_open("/proc/self/status");
  tell_open("/proc/1/environ");
  tell_open("/dev/mem");
  tell_open("/dev/kvm");
  tell_open("/usr/bin/env");
  tell_open("/sys/kernel");
  tell("create /file", open("/file", O_WRONLY | O_CREAT, 0600));
  tell("tcp loopback", tcp(22));
  tell("abstract socket", abstract("blazar-jail-test"));
  tell_links();
  tell_tap();
  for (int index = 2; index < count; index++) {
    pid_t pid = (pid_t)atoi(arguments[index]);
    tell("signal", kill(pid, 0));
    tell("ptrace", ptrace(PTRACE_ATTACH, pid, 0, 0));
    tell("pidfd", syscall(SYS_pidfd_open, pid, 0));
  }
  tell("signal all", kill(-1, 0));
  tell("mount", mount("x", "/", "tmpfs", 0, ""));
  tell("fsopen", syscall(430, "tmpfs", 0));
  tell("mknod", mknod("/null", S_IFCHR | 0600, makedev(1, 3)));
  tell("setuid 0", setuid(0));
  tell("setgid 0", setgid(0));
  tell("chroot", chroot("/"));
  tell_namespace("new user namespace", CLONE_NEWUSER);
  tell_namespace("new mount namespace", CLONE_NEWNS);
  tell("clone into a user namespace", clone_in(CLONE_NEWUSER));
  tell("clone3", syscall(435, NULL, 0));
  tell("shared memory", shmget(0x6262, 4096, IPC_CREAT | 0600));
  tell("vsock", socket(40, SOCK_STREAM, 0));
  tell("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
  tell("io_uring", syscall(425, 1, NULL));
  tell("bpf", syscall(321, 0, NULL, 0));
  tell("keyctl", syscall(250, 0, 0));
  tell("open by handle", syscall(304, -1, NULL, 0));
  tell("exec", execl("/usr/bin/env", "env", NULL));
  return 0;
}
