/*
 * Waiting for descriptors: epoll(7), poll(2), eventfd(2).
 *
 * The caller chooses epoll's 32 bits of data; they are not the descriptor. The loop gives every registration a number of
 * its own, so that an event of a closed descriptor cannot reach the next descriptor with the same number.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sys/sys.h"

#define MAX_EVENTS 256

SYS_FUNCTION(f_epoll_create) {
  SYS_UNUSED;
  return sys_result(ctx, epoll_create1(EPOLL_CLOEXEC));
}

SYS_FUNCTION(f_epoll_ctl) {
  int epoll, operation, fd;
  uint32_t events, data;
  SYS_ARGS("fifuu", &epoll, &operation, &fd, &events, &data);
  struct epoll_event event = {.events = events, .data.u32 = data};
  return sys_result(ctx, epoll_ctl(epoll, operation, fd, &event));
}

SYS_FUNCTION(f_epoll_wait) {
  int epoll, timeout;
  size_t size;
  struct epoll_event events[MAX_EVENTS];
  SYS_ARGS("fi", &epoll, &timeout);
  uint8_t *buffer = JS_GetArrayBuffer(ctx, &size, argv[2]);
  if (!buffer && JS_HasException(ctx)) return JS_EXCEPTION;
  int32_t *out = (int32_t *)(void *)buffer; /* malloc'ed by the engine: aligned */
  size_t max = size / (2 * sizeof *out);
  if (max == 0) return JS_ThrowRangeError(ctx, "the buffer is too small for an event");
  int count = epoll_wait(epoll, events, max > MAX_EVENTS ? MAX_EVENTS : (int)max, timeout);
  if (count < 0) return errno == EINTR ? JS_NewInt32(ctx, 0) : sys_result(ctx, -1);
  for (int i = 0; i < count; i++) {
    out[2 * i] = (int32_t)events[i].data.u32;
    out[2 * i + 1] = (int32_t)events[i].events;
  }
  return JS_NewInt32(ctx, count);
}

SYS_FUNCTION(f_poll1) {
  int fd, events, timeout;
  SYS_ARGS("iii", &fd, &events, &timeout);
  struct pollfd one = {.fd = fd, .events = (short)events};
  int count = poll(&one, 1, timeout);
  if (count < 0) return errno == EINTR ? JS_NewInt32(ctx, 0) : sys_result(ctx, -1);
  return JS_NewInt32(ctx, count ? one.revents : 0);
}

SYS_FUNCTION(f_eventfd) {
  uint32_t initial;
  SYS_ARGS("u", &initial);
  return sys_result(ctx, eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("epollCreate", 0, f_epoll_create), JS_CFUNC_DEF("epollCtl", 5, f_epoll_ctl),
    JS_CFUNC_DEF("epollWait", 3, f_epoll_wait),     JS_CFUNC_DEF("poll1", 3, f_poll1),
    JS_CFUNC_DEF("eventfd", 1, f_eventfd),
};
SYS_GROUP(sys_polling_group, functions);
