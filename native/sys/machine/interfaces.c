/*
 * The settings of an interface that a guest needs first: netdevice(7), ioctl(2); taps (tuntap.rst of the kernel); and
 * netlink(7) sockets.
 *
 * IPv4 only, and little more than `lo` needs. Addresses, routes and neighbours of a pod go over netlink: TypeScript writes
 * the messages, to the socket that is made here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/sys.h"

/* Makes one ioctl(2) call on a throw-away socket. Returns its result, and keeps its errno. */
static int configure(unsigned long request, void *argument) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int result = ioctl(fd, (int)request, argument), error = errno;
  close(fd);
  errno = error;
  return result;
}

static int named(struct ifreq *request, const char *name) {
  memset(request, 0, sizeof *request);
  if (strlen(name) >= sizeof request->ifr_name) {
    errno = ENODEV;
    return -1;
  }
  strcpy(request->ifr_name, name);
  return 0;
}

static int ipv4(const char *text, void *out) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
    errno = EINVAL;
    return -1;
  }
  memcpy(out, &address, sizeof address);
  return 0;
}

SYS_FUNCTION(f_set_interface_up) {
  const char *name;
  int up;
  struct ifreq request;
  SYS_ARGS("st", &name, &up);
  if (named(&request, name) < 0 || configure(SIOCGIFFLAGS, &request) < 0) return sys_result(ctx, -1);
  int flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
  request.ifr_flags = (short)flags;
  return sys_result(ctx, configure(SIOCSIFFLAGS, &request));
}

SYS_FUNCTION(f_set_interface_address) {
  const char *name, *address, *mask;
  struct ifreq request;
  SYS_ARGS("sss", &name, &address, &mask);
  if (named(&request, name) < 0) return sys_result(ctx, -1);
  if (ipv4(address, &request.ifr_addr) < 0 || configure(SIOCSIFADDR, &request) < 0) return sys_result(ctx, -1);
  if (ipv4(mask, &request.ifr_netmask) < 0) return sys_result(ctx, -1);
  return sys_result(ctx, configure(SIOCSIFNETMASK, &request));
}

SYS_FUNCTION(f_set_interface_mtu) {
  const char *name;
  int mtu;
  struct ifreq request;
  SYS_ARGS("si", &name, &mtu);
  if (named(&request, name) < 0) return sys_result(ctx, -1);
  request.ifr_mtu = mtu;
  return sys_result(ctx, configure(SIOCSIFMTU, &request));
}

SYS_FUNCTION(f_set_interface_mac) {
  const char *name, *mac;
  unsigned int byte[6];
  int end = 0;
  struct ifreq request;
  SYS_ARGS("ss", &name, &mac);
  int fields = sscanf(mac, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &end);
  if (fields != 6 || mac[end]) return sys_failure(ctx, EINVAL);
  if (named(&request, name) < 0) return sys_result(ctx, -1);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  for (int i = 0; i < 6; i++) request.ifr_hwaddr.sa_data[i] = (char)byte[i];
  return sys_result(ctx, configure(SIOCSIFHWADDR, &request));
}

SYS_FUNCTION(f_add_default_route) {
  const char *gateway;
  struct rtentry route;
  SYS_ARGS("s", &gateway);
  memset(&route, 0, sizeof route);
  if (ipv4(gateway, &route.rt_gateway) < 0) return sys_result(ctx, -1);
  route.rt_dst.sa_family = AF_INET;
  route.rt_genmask.sa_family = AF_INET;
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  return sys_result(ctx, configure(SIOCADDRT, &route));
}

SYS_FUNCTION(f_tap_open) {
  const char *name;
  struct ifreq request;
  SYS_ARGS("s", &name);
  if (named(&request, name) < 0) return sys_result(ctx, -1);
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return sys_result(ctx, -1);
  int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL;
  request.ifr_flags = (short)flags;
  if (ioctl(fd, (int)TUNSETIFF, &request) == 0) return sys_result(ctx, fd);
  int error = errno;
  close(fd);
  return sys_failure(ctx, error);
}

SYS_FUNCTION(f_tap_persist) {
  int fd;
  SYS_ARGS("i", &fd);
  return sys_result(ctx, ioctl(fd, (int)TUNSETPERSIST, 1));
}

SYS_FUNCTION(f_netlink_open) {
  int protocol;
  SYS_ARGS("i", &protocol);
  return sys_result(ctx, socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("setInterfaceUp", 2, f_set_interface_up),
    JS_CFUNC_DEF("setInterfaceAddress", 3, f_set_interface_address),
    JS_CFUNC_DEF("setInterfaceMtu", 2, f_set_interface_mtu),
    JS_CFUNC_DEF("setInterfaceMac", 2, f_set_interface_mac),
    JS_CFUNC_DEF("addDefaultRoute", 1, f_add_default_route),
    JS_CFUNC_DEF("tapOpen", 1, f_tap_open),
    JS_CFUNC_DEF("tapPersist", 1, f_tap_persist),
    JS_CFUNC_DEF("netlinkOpen", 1, f_netlink_open),
};
SYS_GROUP(sys_interfaces_group, functions);
