/*
 * The kernel's constants under their own names, so that TypeScript has no numbers written by hand.
 *
 * Numbers from 2^31 on become negative, as JavaScript's bit operators would make them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sys/sys.h"

/* From linux/mount.h, linux/netlink.h and linux/close_range.h, which clash with musl's headers or are newer. */
#define MOUNT_ATTR_RDONLY 0x1
#define MOUNT_ATTR_NOSUID 0x2
#define MOUNT_ATTR_NODEV 0x4
#define MOUNT_ATTR_NOEXEC 0x8
#define MOUNT_ATTR_NOSYMFOLLOW 0x200000
#define MOUNT_ATTR_IDMAP 0x100000
#define OPEN_TREE_CLONE 1
#define MOVE_MOUNT_F_EMPTY_PATH 0x4
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#define CLOSE_RANGE_CLOEXEC 4
#define NETLINK_ROUTE 0
#ifndef VMADDR_CID_LOCAL
#define VMADDR_CID_LOCAL 1
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

#define C(name) JS_PROP_INT32_DEF(#name, (int32_t)(name), 0)

/* clang-format off */
static const JSCFunctionListEntry errors[] = {
  /* errno: errno(3) */
  C(EPERM), C(ENOENT), C(EINTR), C(EIO), C(ENOEXEC), C(EBADF), C(ECHILD), C(EAGAIN), C(ENOMEM), C(EACCES), C(EFAULT), C(EBUSY), C(EEXIST), C(EXDEV), C(ENODEV), C(ENXIO), C(ENOTDIR), C(EISDIR), C(EINVAL), C(ENFILE), C(EMFILE), C(ENOTTY), C(ETXTBSY), C(EFBIG), C(ENOSPC), C(ESPIPE), C(EROFS), C(EPIPE), C(ERANGE), C(ENAMETOOLONG), C(ENOSYS), C(ENOTEMPTY), C(ELOOP), C(ESRCH), C(E2BIG), C(EMSGSIZE), C(EOPNOTSUPP), C(EADDRINUSE), C(ECONNREFUSED), C(ECONNRESET), C(ENOTCONN), C(EINPROGRESS), C(ETIMEDOUT), C(ENODATA), C(EOVERFLOW), C(EPROTO), C(ESTALE), C(ENOLCK),
};
static const JSCFunctionListEntry constants[] = {
  /* open(2) */
  C(O_RDONLY), C(O_WRONLY), C(O_RDWR), C(O_CREAT), C(O_EXCL), C(O_TRUNC), C(O_APPEND), C(O_NONBLOCK), C(O_DIRECTORY), C(O_NOFOLLOW), C(O_CLOEXEC), C(O_PATH), C(O_NOCTTY), C(O_SYNC), C(O_TMPFILE), C(O_INHERIT),
  /* openat2(2), *at(2) */
  C(RESOLVE_NO_XDEV), C(RESOLVE_NO_MAGICLINKS), C(RESOLVE_NO_SYMLINKS), C(RESOLVE_BENEATH), C(RESOLVE_IN_ROOT), C(AT_FDCWD), C(AT_EMPTY_PATH), C(AT_RECURSIVE), C(AT_SYMLINK_NOFOLLOW),
  /* inode(7) */
  C(S_IFMT), C(S_IFSOCK), C(S_IFLNK), C(S_IFREG), C(S_IFBLK), C(S_IFDIR), C(S_IFCHR), C(S_IFIFO),
  /* fcntl(2), flock(2), memfd_create(2), close_range(2) */
  C(F_DUPFD_CLOEXEC), C(F_GETFD), C(F_SETFD), C(F_GETFL), C(F_SETFL), C(F_SETPIPE_SZ), C(F_GETPIPE_SZ), C(F_ADD_SEALS), C(F_GET_SEALS), C(F_SEAL_SEAL), C(F_SEAL_SHRINK), C(F_SEAL_GROW), C(F_SEAL_WRITE), C(LOCK_SH), C(LOCK_EX), C(LOCK_UN), C(LOCK_NB), C(MFD_ALLOW_SEALING), C(CLOSE_RANGE_CLOEXEC), C(FALLOC_FL_KEEP_SIZE), C(FALLOC_FL_PUNCH_HOLE),
  /* mount(2), umount2(2), mount_setattr(2), open_tree(2), move_mount(2) */
  C(MS_RDONLY), C(MS_NOSUID), C(MS_NODEV), C(MS_NOEXEC), C(MS_SYNCHRONOUS), C(MS_REMOUNT), C(MS_NOSYMFOLLOW), C(MS_NOATIME), C(MS_NODIRATIME), C(MS_BIND), C(MS_MOVE), C(MS_REC), C(MS_SILENT), C(MS_UNBINDABLE), C(MS_PRIVATE), C(MS_SLAVE), C(MS_SHARED), C(MS_RELATIME), C(MS_STRICTATIME), C(MS_LAZYTIME), C(MNT_FORCE), C(MNT_DETACH), C(MNT_EXPIRE), C(UMOUNT_NOFOLLOW), C(MOUNT_ATTR_RDONLY), C(MOUNT_ATTR_NOSUID), C(MOUNT_ATTR_NODEV), C(MOUNT_ATTR_NOEXEC), C(MOUNT_ATTR_NOSYMFOLLOW), C(MOUNT_ATTR_IDMAP), C(OPEN_TREE_CLONE), C(MOVE_MOUNT_F_EMPTY_PATH), C(MOVE_MOUNT_T_EMPTY_PATH),
  /* clone(2), unshare(2), setns(2) */
  C(CLONE_FS), C(CLONE_PARENT), C(CLONE_NEWNS), C(CLONE_NEWCGROUP), C(CLONE_NEWUTS), C(CLONE_NEWIPC), C(CLONE_NEWUSER), C(CLONE_NEWPID), C(CLONE_NEWNET),
  /* wait(2) */
  C(WNOHANG), C(WUNTRACED),
  /* signal(7) */
  C(SIGHUP), C(SIGINT), C(SIGQUIT), C(SIGILL), C(SIGTRAP), C(SIGABRT), C(SIGBUS), C(SIGFPE), C(SIGKILL), C(SIGUSR1), C(SIGSEGV), C(SIGUSR2), C(SIGPIPE), C(SIGALRM), C(SIGTERM), C(SIGCHLD), C(SIGCONT), C(SIGSTOP), C(SIGTSTP), C(SIGTTIN), C(SIGTTOU), C(SIGWINCH), C(SIGPWR), C(SIGSYS),
  /* prctl(2) */
  C(PR_SET_PDEATHSIG), C(PR_SET_DUMPABLE), C(PR_SET_KEEPCAPS), C(PR_SET_SECUREBITS), C(PR_SET_NO_NEW_PRIVS), C(PR_SET_CHILD_SUBREAPER), C(PR_SET_THP_DISABLE),
  /* seccomp(2) */
  C(SECCOMP_FILTER_FLAG_TSYNC), C(SECCOMP_FILTER_FLAG_LOG), C(SECCOMP_FILTER_FLAG_SPEC_ALLOW), C(SECCOMP_FILTER_FLAG_NEW_LISTENER),
  /* getrlimit(2) */
  C(RLIMIT_CPU), C(RLIMIT_FSIZE), C(RLIMIT_DATA), C(RLIMIT_STACK), C(RLIMIT_CORE), C(RLIMIT_RSS), C(RLIMIT_NPROC), C(RLIMIT_NOFILE), C(RLIMIT_MEMLOCK), C(RLIMIT_AS), C(RLIMIT_LOCKS), C(RLIMIT_SIGPENDING), C(RLIMIT_MSGQUEUE), C(RLIMIT_NICE), C(RLIMIT_RTPRIO), C(RLIMIT_RTTIME),
  /* reboot(2) */
  C(RB_AUTOBOOT), C(RB_HALT_SYSTEM), C(RB_POWER_OFF),
  /* epoll_ctl(2), poll(2) */
  C(EPOLLIN), C(EPOLLPRI), C(EPOLLOUT), C(EPOLLERR), C(EPOLLHUP), C(EPOLLRDHUP), C(EPOLLET), C(EPOLLONESHOT), C(EPOLL_CTL_ADD), C(EPOLL_CTL_MOD), C(EPOLL_CTL_DEL), C(POLLIN), C(POLLOUT), C(POLLERR), C(POLLHUP), C(POLLNVAL),
  /* socket(7), vsock(7), netlink(7) */
  C(SHUT_RD), C(SHUT_WR), C(SHUT_RDWR), C(VMADDR_CID_HOST), C(VMADDR_CID_LOCAL), C(NETLINK_ROUTE),
};
/* clang-format on */

SYS_FUNCTION(f_errno_name) {
  int error;
  SYS_ARGS("i", &error);
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (errors[i].u.i32 == error) return JS_NewString(ctx, errors[i].name);
  return JS_UNDEFINED;
}

static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("errnoName", 1, f_errno_name)};
SYS_GROUP(sys_errors_group, errors);
SYS_GROUP(sys_errno_group, functions);
SYS_GROUP(sys_constants_group, constants);
