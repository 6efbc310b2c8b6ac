/*
 * Taps (tuntap.rst of the kernel), where another process's is: pidfd_getfd(2), ioctl_ns(2); and netlink sockets: netlink(7).
 *
 * TypeScript writes and reads netlink's messages (src/protocol/netlink/); here is only what makes a socket for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/sys.h"

/* Closes a descriptor and returns an errno. */
static JSValue give_up(JSContext *ctx, int fd, int error) {
  close(fd);
  return sys_failure(ctx, error);
}

SYS_FUNCTION(f_tap_open) {
  const char *name;
  struct ifreq request;
  SYS_ARGS("s", &name);
  memset(&request, 0, sizeof request);
  if (strlen(name) >= sizeof request.ifr_name) return sys_failure(ctx, ENODEV);
  strcpy(request.ifr_name, name);
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return sys_result(ctx, -1);
  int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL;
  request.ifr_flags = (short)flags;
  if (ioctl(fd, (int)TUNSETIFF, &request) == 0) return sys_result(ctx, fd);
  return give_up(ctx, fd, errno);
}

SYS_FUNCTION(f_tap_persist) {
  int fd;
  SYS_ARGS("i", &fd);
  return sys_result(ctx, ioctl(fd, (int)TUNSETPERSIST, 1));
}

SYS_FUNCTION(f_tap_namespace) {
  int process, theirs;
  SYS_ARGS("fi", &process, &theirs);
  int tap = (int)syscall(SYS_pidfd_getfd, process, theirs, 0);
  if (tap < 0) return sys_result(ctx, -1);
  int namespace = ioctl(tap, (int)TUNGETDEVNETNS);
  return namespace < 0 ? give_up(ctx, tap, errno) : (close(tap), sys_result(ctx, namespace));
}

SYS_FUNCTION(f_namespace_owner) {
  int namespace;
  SYS_ARGS("f", &namespace);
  return sys_result(ctx, ioctl(namespace, (int)NS_GET_USERNS));
}

SYS_FUNCTION(f_netlink_open) {
  int protocol, on = 1;
  SYS_ARGS("i", &protocol);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return sys_result(ctx, -1);
  /* the kernel's words for what is wrong, and answers without the request's body */
  if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on) == 0 &&
      setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on) == 0)
    return sys_result(ctx, fd);
  return give_up(ctx, fd, errno);
}

SYS_FUNCTION(f_netlink_listen) {
  int protocol;
  uint32_t groups;
  SYS_ARGS("iu", &protocol, &groups);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
  if (fd < 0) return sys_result(ctx, -1);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return sys_result(ctx, fd);
  return give_up(ctx, fd, errno);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("tapOpen", 1, f_tap_open),
    JS_CFUNC_DEF("tapPersist", 1, f_tap_persist),
    JS_CFUNC_DEF("tapNamespace", 2, f_tap_namespace),
    JS_CFUNC_DEF("namespaceOwner", 1, f_namespace_owner),
    JS_CFUNC_DEF("netlinkOpen", 1, f_netlink_open),
    JS_CFUNC_DEF("netlinkListen", 2, f_netlink_listen),
};
SYS_GROUP(sys_interfaces_group, functions);
