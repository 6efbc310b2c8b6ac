/*
 * Pseudo terminals: ioctl_tty(2).
 *
 * A child of the agent opens the container's own /dev/pts/ptmx with `open`. The slave is opened through the master
 * (TIOCGPTPEER), because its path might lead elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "sys/sys.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

SYS_FUNCTION(f_unlock_pty) {
  int fd, lock = 0;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, ioctl(fd, TIOCSPTLCK, &lock));
}

SYS_FUNCTION(f_open_pty_peer) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

SYS_FUNCTION(f_pty_number) {
  int fd;
  unsigned int number = 0;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, ioctl(fd, TIOCGPTN, &number) < 0 ? -1 : (int64_t)number);
}

SYS_FUNCTION(f_set_window_size) {
  int fd;
  int64_t rows, columns;
  SYS_ARGS("fnn", &fd, &rows, &columns);
  if (rows > 65535 || columns > 65535) return JS_ThrowRangeError(ctx, "rows and columns are at most 65535");
  struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  return sys_result(ctx, ioctl(fd, TIOCSWINSZ, &size));
}

SYS_FUNCTION(f_get_window_size) {
  int fd;
  struct winsize size;
  SYS_ARGS("f", &fd);
  if (ioctl(fd, TIOCGWINSZ, &size) < 0) return sys_result(ctx, -1);
  return sys_pair(ctx, JS_NewInt32(ctx, size.ws_row), JS_NewInt32(ctx, size.ws_col));
}

SYS_FUNCTION(f_set_controlling_tty) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, ioctl(fd, TIOCSCTTY, 0));
}

SYS_FUNCTION(f_isatty) {
  int fd;
  SYS_ARGS("f", &fd);
  return JS_NewBool(ctx, isatty(fd));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("unlockPty", 1, f_unlock_pty),
    JS_CFUNC_DEF("openPtyPeer", 1, f_open_pty_peer),
    JS_CFUNC_DEF("ptyNumber", 1, f_pty_number),
    JS_CFUNC_DEF("setWindowSize", 3, f_set_window_size),
    JS_CFUNC_DEF("getWindowSize", 1, f_get_window_size),
    JS_CFUNC_DEF("setControllingTty", 1, f_set_controlling_tty),
    JS_CFUNC_DEF("isatty", 1, f_isatty),
};
SYS_GROUP(sys_terminals_group, functions);
