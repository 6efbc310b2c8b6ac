/*
 * Netlink sockets: netlink(7).
 *
 * TypeScript writes and reads the messages (src/protocol/netlink/); here is only what makes a socket for them.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/sys.h"

SYS_FUNCTION(f_netlink_open) {
  int protocol, on = 1;
  SYS_ARGS("i", &protocol);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return sys_result(ctx, -1);
  /* the kernel's words for what is wrong, and answers without the request's body */
  if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on) == 0 &&
      setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on) == 0)
    return sys_result(ctx, fd);
  int error = errno;
  close(fd);
  return sys_failure(ctx, error);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("netlinkOpen", 1, f_netlink_open),
};
SYS_GROUP(sys_interfaces_group, functions);
