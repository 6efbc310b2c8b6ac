/*
 * Signals: signalfd(2), sigprocmask(2), sigaction(2).
 *
 * JavaScript never runs in a signal handler: signals are blocked, and read from a descriptor.
 */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "sys/sys.h"

#define MAX_SIGNALS 64

static int to_set(JSContext *ctx, JSValueConst array, sigset_t *set) {
  int64_t signals[MAX_SIGNALS];
  int count = sys_integers(ctx, array, 1, MAX_SIGNALS, signals, MAX_SIGNALS);
  sigemptyset(set);
  for (int i = 0; i < count; i++) sigaddset(set, (int)signals[i]);
  return count;
}

/* Signals whose action may differ from the default; bit 0 is signal 1. At first all of them: the caller may have set any. */
static uint64_t altered = UINT64_MAX;

int sys_ignore_signal(int signal) {
  struct sigaction action = {.sa_handler = SIG_IGN};
  if (sigaction(signal, &action, NULL) < 0) return -1;
  altered |= UINT64_C(1) << (signal - 1);
  return 0;
}

void sys_reset_signals(void) {
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigset_t none;
  for (int signal = 1; altered; signal++, altered >>= 1)
    if (altered & 1) sigaction(signal, &action, NULL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

SYS_FUNCTION(f_signalfd) {
  sigset_t set;
  (void)this_val, (void)argc;
  if (to_set(ctx, argv[0], &set) < 0) return JS_EXCEPTION;
  if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return sys_result(ctx, -1);
  return sys_result(ctx, signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

SYS_FUNCTION(f_read_signal) {
  int fd;
  struct signalfd_siginfo info;
  SYS_ARGS("f", &fd);
  ssize_t count = read(fd, &info, sizeof info);
  if (count < 0) return sys_result(ctx, -1);
  if (count != sizeof info) return sys_failure(ctx, EIO);
  JSValue object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  sys_set(ctx, object, "signal", JS_NewUint32(ctx, info.ssi_signo));
  sys_set(ctx, object, "pid", JS_NewUint32(ctx, info.ssi_pid));
  sys_set(ctx, object, "uid", JS_NewUint32(ctx, info.ssi_uid));
  sys_set(ctx, object, "code", JS_NewInt32(ctx, info.ssi_code));
  sys_set(ctx, object, "status", JS_NewInt32(ctx, info.ssi_status));
  return object;
}

SYS_FUNCTION(f_block_signals) {
  sigset_t set;
  (void)this_val, (void)argc;
  if (to_set(ctx, argv[0], &set) < 0) return JS_EXCEPTION;
  return sys_result(ctx, sigprocmask(SIG_BLOCK, &set, NULL));
}

SYS_FUNCTION(f_reset_signals) {
  SYS_UNUSED;
  sys_reset_signals();
  return JS_NewInt32(ctx, 0);
}

SYS_FUNCTION(f_ignore_signal) {
  int signal;
  SYS_ARGS("i", &signal);
  return sys_result(ctx, sys_ignore_signal(signal));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("signalfd", 1, f_signalfd),
    JS_CFUNC_DEF("readSignal", 1, f_read_signal),
    JS_CFUNC_DEF("blockSignals", 1, f_block_signals),
    JS_CFUNC_DEF("resetSignals", 0, f_reset_signals),
    JS_CFUNC_DEF("ignoreSignal", 1, f_ignore_signal),
};
SYS_GROUP(sys_signals_group, functions);
