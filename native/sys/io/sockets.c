/*
 * Stream sockets: unix(7), vsock(7), tcp(7) to this machine; and descriptors in messages (SCM_RIGHTS).
 *
 * Every socket is close-on-exec. All but those of socketpair are non-blocking, because a program has one thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "sys/sys.h"

#define STREAM (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
#define MAX_FDS 32

/* Closes a half-made socket and keeps errno. Returns -1. */
static int abandon(int fd) {
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static int unix_address(const char *path, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address->sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address->sun_path, path);
  return 0;
}

SYS_FUNCTION(f_unix_listen) {
  const char *path;
  uint32_t mode;
  int backlog;
  struct sockaddr_un address;
  SYS_ARGS("sui", &path, &mode, &backlog);
  if (unix_address(path, &address) < 0) return sys_result(ctx, -1);
  int fd = socket(AF_UNIX, STREAM, 0);
  if (fd < 0) return sys_result(ctx, -1);
  mode_t mask = umask(~mode & 0777); /* the file must never be more open than asked for */
  int result = bind(fd, (struct sockaddr *)&address, sizeof address);
  umask(mask);
  if (result < 0) return sys_result(ctx, abandon(fd));
  if (chmod(path, mode & 0777) < 0 || listen(fd, backlog) < 0) {
    int error = errno;
    unlink(path);
    errno = error;
    return sys_result(ctx, abandon(fd));
  }
  return sys_result(ctx, fd);
}

SYS_FUNCTION(f_unix_connect) {
  const char *path;
  struct sockaddr_un address;
  SYS_ARGS("s", &path);
  if (unix_address(path, &address) < 0) return sys_result(ctx, -1);
  int fd = socket(AF_UNIX, STREAM, 0);
  if (fd < 0) return sys_result(ctx, -1);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return sys_result(ctx, abandon(fd));
  return sys_result(ctx, fd);
}

SYS_FUNCTION(f_accept4) {
  int listener, fd;
  SYS_ARGS("f", &listener);
  do {
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
  return sys_result(ctx, fd);
}

SYS_FUNCTION(f_peer_credentials) {
  int fd;
  struct ucred peer;
  socklen_t size = sizeof peer;
  SYS_ARGS("f", &fd);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return sys_result(ctx, -1);
  JSValue object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  sys_set(ctx, object, "pid", JS_NewInt32(ctx, peer.pid));
  sys_set(ctx, object, "uid", JS_NewUint32(ctx, peer.uid));
  sys_set(ctx, object, "gid", JS_NewUint32(ctx, peer.gid));
  return object;
}

SYS_FUNCTION(f_shutdown) {
  int fd, how;
  SYS_ARGS("fi", &fd, &how);
  return sys_result(ctx, shutdown(fd, how));
}

SYS_FUNCTION(f_socketpair) {
  uint32_t flags;
  int fds[2];
  SYS_ARGS("u", &flags);
  int type = SOCK_STREAM | SOCK_CLOEXEC | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0);
  if (socketpair(AF_UNIX, type, 0, fds) < 0) return sys_result(ctx, -1);
  return sys_pair(ctx, JS_NewInt32(ctx, fds[0]), JS_NewInt32(ctx, fds[1]));
}

SYS_FUNCTION(f_receive_timeout) {
  int fd;
  uint32_t milliseconds;
  SYS_ARGS("fu", &fd, &milliseconds);
  struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
  return sys_result(ctx, setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
}

SYS_FUNCTION(f_socket_error) {
  int fd, error = 0;
  socklen_t size = sizeof error;
  SYS_ARGS("f", &fd);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return sys_result(ctx, -1);
  return JS_NewInt32(ctx, error);
}

SYS_FUNCTION(f_send_fds) {
  int socket;
  struct sys_bytes bytes;
  int64_t wide[MAX_FDS];
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_FDS * sizeof(int))] = {0};
  ssize_t sent;
  (void)this_val;
  int count = sys_integers(ctx, argv[4], 0, INT_MAX, wide, MAX_FDS);
  if (count < 0) return JS_EXCEPTION;
  struct sys_call fixed = {.ctx = ctx};
  if (sys_parse(&fixed, argc, argv, "fb", &socket, &bytes) < 0) return JS_EXCEPTION;
  if (bytes.length == 0) return JS_ThrowRangeError(ctx, "descriptors need at least one byte to travel with");
  struct iovec data = {bytes.data, bytes.length};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    for (int i = 0; i < count; i++) {
      int fd = (int)wide[i];
      memcpy(CMSG_DATA(header) + (size_t)i * sizeof fd, &fd, sizeof fd);
    }
  }
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sys_result(ctx, sent);
}

/* Stores the descriptors of a received message in fds. Returns how many there are. */
static int received_fds(struct msghdr *message, int *fds) {
  int count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t bytes = header->cmsg_len - CMSG_LEN(0);
    for (size_t i = 0; i + sizeof(int) <= bytes && count < MAX_FDS; i += sizeof(int))
      memcpy(&fds[count++], CMSG_DATA(header) + i, sizeof(int));
  }
  return count;
}

SYS_FUNCTION(f_recv_fds) {
  int socket, fds[MAX_FDS];
  struct sys_bytes bytes;
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(MAX_FDS * sizeof(int))];
  ssize_t received;
  SYS_ARGS("fb", &socket, &bytes);
  struct iovec data = {bytes.data, bytes.length};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  do {
    received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return sys_result(ctx, -1);
  int count = received_fds(&message, fds);
  JSValue list = message.msg_flags & MSG_CTRUNC ? sys_failure(ctx, EMSGSIZE) : JS_NewArray(ctx);
  if (!JS_IsObject(list)) {
    for (int i = 0; i < count; i++) close(fds[i]);
    return list;
  }
  JS_SetPropertyUint32(ctx, list, 0, JS_NewInt64(ctx, received));
  for (int i = 0; i < count; i++) JS_SetPropertyUint32(ctx, list, (uint32_t)i + 1, JS_NewInt32(ctx, fds[i]));
  return list;
}

SYS_FUNCTION(f_vsock_listen) {
  uint32_t port;
  int backlog;
  SYS_ARGS("ui", &port, &backlog);
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  int fd = socket(AF_VSOCK, STREAM, 0);
  if (fd < 0) return sys_result(ctx, -1);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, backlog) < 0)
    return sys_result(ctx, abandon(fd));
  return sys_result(ctx, fd);
}

SYS_FUNCTION(f_vsock_connect) {
  uint32_t cid, port;
  SYS_ARGS("uu", &cid, &port);
  struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
  int fd = socket(AF_VSOCK, STREAM, 0);
  if (fd < 0) return sys_result(ctx, -1);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
    return sys_result(ctx, abandon(fd));
  return sys_result(ctx, fd);
}

/* The loopback address of a family with a port. Returns its length. */
static socklen_t loopback(int family, uint32_t port, struct sockaddr_storage *storage) {
  memset(storage, 0, sizeof *storage);
  if (family == AF_INET6) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    address.sin6_addr.s6_addr[15] = 1;
    memcpy(storage, &address, sizeof address);
    return sizeof address;
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memcpy(storage, &address, sizeof address);
  return sizeof address;
}

SYS_FUNCTION(f_loopback_connect) {
  uint32_t version, port;
  struct sockaddr_storage address;
  int on = 1;
  SYS_ARGS("uu", &version, &port);
  int family = version == 6 ? AF_INET6 : AF_INET;
  int fd = socket(family, STREAM, 0);
  if (fd < 0) return sys_result(ctx, -1);
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) return sys_result(ctx, abandon(fd));
  socklen_t length = loopback(family, port, &address);
  if (connect(fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS)
    return sys_result(ctx, abandon(fd));
  return sys_result(ctx, fd);
}

/* SO_LINGER would wait for the last copy of the descriptor, which a child may have until its execve. */
SYS_FUNCTION(f_tcp_reset) {
  int fd;
  SYS_ARGS("f", &fd);
  struct sockaddr nobody = {.sa_family = AF_UNSPEC};
  return sys_result(ctx, connect(fd, &nobody, sizeof nobody));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("unixListen", 3, f_unix_listen),
    JS_CFUNC_DEF("unixConnect", 1, f_unix_connect),
    JS_CFUNC_DEF("accept4", 1, f_accept4),
    JS_CFUNC_DEF("peerCredentials", 1, f_peer_credentials),
    JS_CFUNC_DEF("shutdown", 2, f_shutdown),
    JS_CFUNC_DEF("socketpair", 1, f_socketpair),
    JS_CFUNC_DEF("receiveTimeout", 2, f_receive_timeout), JS_CFUNC_DEF("socketError", 1, f_socket_error),
    JS_CFUNC_DEF("sendFds", 5, f_send_fds),
    JS_CFUNC_DEF("recvFds", 4, f_recv_fds),
    JS_CFUNC_DEF("vsockListen", 2, f_vsock_listen),
    JS_CFUNC_DEF("vsockConnect", 2, f_vsock_connect),
    JS_CFUNC_DEF("loopbackConnect", 2, f_loopback_connect),
    JS_CFUNC_DEF("tcpReset", 1, f_tcp_reset),
};
SYS_GROUP(sys_sockets_group, functions);
