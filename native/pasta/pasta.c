/*
 * Preloaded into pasta (src/host/network/host-network/): ports below 1024, and memory that it does not need.
 *
 * pasta gives up the host's user namespace, and with it the right to low ports, before it binds any. Just before that a
 * process is cloned that shares its descriptors and keeps this one right (capabilities(7), clone(2) with CLONE_FILES). It
 * binds sockets for pasta, to the ports in BLAZAR_LOW_PORTS and to no others, and may call nothing else (seccomp(2)).
 *
 * pasta writes zeros to 10 MB of buffers when it starts. Zeros that it writes to whole pages of its own data or stack are not
 * written, and pages that hold nothing else are given back once, when it is ready: they read as zeros all the same (madvise(2),
 * MADV_DONTNEED). That is most of the time and memory that its start takes.
 *
 * And pasta is told that no peer is near, and that the host itself takes no more than the socket to it (getsockopt(2) of
 * TCP_INFO). It lets the guest send to these as much as the peer takes, whatever the socket between them takes; what does not
 * fit it drops, and the guest waits for its timeout each time.
 *
 * It uses system calls only: pasta is stopped in the middle of its start. Must not touch anything else that pasta does.
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define FIRST_FREE_PORT 1024
#define PAGE 4096UL
/* Microseconds. pasta takes a peer for near that answers within 10. */
#define FAR_US 100
/* Segments that are larger go by the host's loopback. */
#define LARGEST_FRAME 16384
/* Less than that is written. */
#define LARGE (4 * PAGE)

/* [0] for TCP, [1] for UDP: a bit for each port that may be bound. */
static uint8_t allowed[2][FIRST_FREE_PORT / 8];
static int wanted;
/* pasta's end and the other process's end; -1 without one. */
static int channel[2] = {-1, -1};

struct request {
  int fd;
  socklen_t length;
  struct sockaddr_storage address;
};

/* "t80,u53" */
__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("BLAZAR_LOW_PORTS");
  while (text != NULL && *text != '\0') {
    int datagrams = *text == 'u';
    char *end;
    unsigned long port = strtoul(text + 1, &end, 10);
    if (end == text + 1) return;
    if (port < FIRST_FREE_PORT) allowed[datagrams][port / 8] |= (uint8_t)(1 << port % 8);
    wanted = 1;
    text = *end == ',' ? end + 1 : end;
  }
}

/* The program's own data that no file is behind, and the stack: private and anonymous. */
static struct area {
  uintptr_t start, end;
} data[4];
static int areas;
extern void *__libc_stack_end;
/* pasta may call madvise(2) until it is ready. */
static int ready;

static uintptr_t page_down(uintptr_t address) { return address & ~(PAGE - 1); }
static uintptr_t page_up(uintptr_t address) { return page_down(address + PAGE - 1); }

static int find_data(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)size;
  (void)unused;
  for (int index = 0; index < info->dlpi_phnum && areas < 4; index++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[index];
    if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_W)) continue;
    uintptr_t start = info->dlpi_addr + segment->p_vaddr;
    data[areas++] = (struct area){page_up(start + segment->p_filesz), page_down(start + segment->p_memsz)};
  }
  /* the program is the first of all; the libraries have little */
  return 1;
}

__attribute__((constructor)) static void know_data(void) { dl_iterate_phdr(find_data, NULL); }

static int is_anonymous(uintptr_t start, uintptr_t end) {
  for (int index = 0; index < areas; index++)
    if (start >= data[index].start && end <= data[index].end) return 1;
  return start > (uintptr_t)__builtin_frame_address(0) && end <= (uintptr_t)__libc_stack_end;
}

static void fill(void *start, int value, size_t length) {
  __asm__ volatile("rep stosb" : "+D"(start), "+c"(length) : "a"(value) : "memory");
}

EXPORT void *memset(void *start, int value, size_t length) {
  uintptr_t first = page_up((uintptr_t)start), last = page_down((uintptr_t)start + length);
  if (length < LARGE || ready || value != 0 || !is_anonymous(first, last) ||
      syscall(SYS_madvise, first, last - first, MADV_DONTNEED) < 0) {
    fill(start, value, length);
    return start;
  }
  fill(start, 0, first - (uintptr_t)start);
  fill((void *)last, 0, (uintptr_t)start + length - last);
  return start;
}

static unsigned port_of(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)address)->sin_port);
  if (address->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
  return 0;
}

/* Gives errno, or 0. */
static int bind_for(const struct request *request) {
  int type = 0;
  socklen_t length = sizeof type;
  unsigned port = port_of(&request->address);
  if (syscall(SYS_getsockopt, request->fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0) return errno;
  if (port == 0 || port >= FIRST_FREE_PORT || request->length > sizeof request->address) return EACCES;
  if (!(allowed[type == SOCK_DGRAM][port / 8] & 1 << port % 8)) return EACCES;
  return syscall(SYS_bind, request->fd, &request->address, request->length) < 0 ? errno : 0;
}

#define ALLOW(number) \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int forbid_the_rest(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      ALLOW(SYS_read),
      ALLOW(SYS_write),
      ALLOW(SYS_bind),
      ALLOW(SYS_getsockopt),
      ALLOW(SYS_exit_group),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -1;
  return (int)syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

__attribute__((noreturn)) static void serve(void) {
  struct request request;
  if (syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || forbid_the_rest() < 0) syscall(SYS_exit_group, 1);
  for (;;) {
    if (syscall(SYS_read, channel[1], &request, sizeof request) != sizeof request) break;
    int result = bind_for(&request);
    if (syscall(SYS_write, channel[1], &result, sizeof result) != sizeof result) break;
  }
  syscall(SYS_exit_group, 0);
  __builtin_unreachable();
}

static void start_binder(void) {
  if (!wanted || channel[0] >= 0) return;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0) return;
  /* like fork(2) but for the descriptors, which stay common; its end is no news to pasta */
  long pid = syscall(SYS_clone, CLONE_FILES, NULL, NULL, NULL, NULL);
  if (pid == 0) serve();
  if (pid < 0) channel[0] = -1;
}

EXPORT int setns(int fd, int type) {
  if (type & CLONE_NEWUSER) start_binder();
  return (int)syscall(SYS_setns, fd, type);
}

EXPORT int bind(int fd, const struct sockaddr *address, socklen_t length) {
  int result = (int)syscall(SYS_bind, fd, address, length);
  if (result == 0 || errno != EACCES || channel[0] < 0) return result;
  struct request request = {.fd = fd, .length = length};
  if (length > sizeof request.address) return -1;
  memcpy(&request.address, address, length);
  int error;
  if (syscall(SYS_write, channel[0], &request, sizeof request) != sizeof request ||
      syscall(SYS_read, channel[0], &error, sizeof error) != sizeof error)
    error = EACCES;
  errno = error;
  return error == 0 ? 0 : -1;
}

/* Bytes that a socket takes now: a quarter is for what the kernel needs beside them. */
static uint32_t room_of(int fd) {
  int buffer = 0, queued = 0;
  socklen_t length = sizeof buffer;
  if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &buffer, &length) < 0) return UINT32_MAX;
  if (syscall(SYS_ioctl, fd, SIOCOUTQ, &queued) < 0) return UINT32_MAX;
  buffer -= buffer / 4;
  return buffer > queued ? (uint32_t)(buffer - queued) : 0;
}

EXPORT int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict length) {
  int result = (int)syscall(SYS_getsockopt, fd, level, option, value, length);
  if (result < 0 || level != IPPROTO_TCP || option != TCP_INFO) return result;
  struct tcp_info *info = value;
  if (*length < offsetof(struct tcp_info, tcpi_snd_wnd) + sizeof info->tcpi_snd_wnd) return result;
  if (info->tcpi_min_rtt < FAR_US) info->tcpi_min_rtt = FAR_US;
  if (info->tcpi_snd_mss > LARGEST_FRAME) {
    uint32_t room = room_of(fd);
    if (info->tcpi_snd_wnd > room) info->tcpi_snd_wnd = room;
  }
  return result;
}

static int is_zero(const unsigned char *page) {
  const uint64_t *words = (const uint64_t *)page;
  for (size_t index = 0; index < PAGE / sizeof *words; index++)
    if (words[index] != 0) return 0;
  return 1;
}

static void give_back(unsigned char *start, size_t pages) {
  if (pages > 0) madvise(start, pages * PAGE, MADV_DONTNEED);
}

/* What is zero in an area, in as few calls as there are such parts. */
static void give_back_zeros(const struct area *area) {
  static unsigned char resident[1024];
  size_t run = 0;
  unsigned char *page = (unsigned char *)area->start;
  while (page < (unsigned char *)area->end) {
    size_t pages = (area->end - (uintptr_t)page) / PAGE;
    if (pages > sizeof resident) pages = sizeof resident;
    if (mincore(page, pages * PAGE, resident) < 0) return;
    for (size_t index = 0; index < pages; index++, page += PAGE) {
      if (resident[index] & 1 && is_zero(page)) {
        run++;
        continue;
      }
      give_back(page - run * PAGE, run);
      run = 0;
    }
  }
  give_back(page - run * PAGE, run);
}

/* The stack below this function was used by the start alone. */
static void give_back_stack(void) {
  const uintptr_t most = 4UL << 20, near = 64UL << 10;
  uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(PAGE - 1);
  madvise((void *)(here - most), most - near, MADV_DONTNEED);
}

/* pasta's first call of it comes when everything is set up, and before it forbids itself madvise(2). */
EXPORT int prctl(int option, ...) {
  va_list list;
  va_start(list, option);
  unsigned long words[4];
  for (int index = 0; index < 4; index++) words[index] = va_arg(list, unsigned long);
  va_end(list);
  if (option == PR_SET_DUMPABLE && !ready) {
    ready = 1;
    for (int index = 0; index < areas; index++) give_back_zeros(&data[index]);
    give_back_stack();
  }
  return (int)syscall(SYS_prctl, option, words[0], words[1], words[2], words[3]);
}
