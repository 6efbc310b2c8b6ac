/*
 * Limits and settings of a process: prctl(2), prlimit(2), setpriority(2), sched_setaffinity(2),
 * sched_setscheduler(2), ioprio_set(2).
 *
 * Only options that take integers are offered: a number in the place of a pointer would be used as an address.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/sys.h"

#define MAX_CPUS 1024

SYS_FUNCTION(f_prctl) {
  int option;
  uint32_t a = 0, b = 0, c = 0, d = 0;
  SYS_ARGS("i|uuuu", &option, &a, &b, &c, &d);
  switch (option) { /* the others take pointers, or undo what the runtime relies on */
    case PR_SET_PDEATHSIG:
    case PR_SET_DUMPABLE:
    case PR_GET_DUMPABLE:
    case PR_SET_KEEPCAPS:
    case PR_SET_SECUREBITS:
    case PR_GET_SECUREBITS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_CHILD_SUBREAPER:
    case PR_SET_THP_DISABLE:
    case PR_CAPBSET_READ:
    case PR_CAP_AMBIENT:
      return sys_result(ctx, prctl(option, (unsigned long)a, (unsigned long)b, (unsigned long)c, (unsigned long)d));
    default:
      return JS_ThrowRangeError(ctx, "prctl option %d is not offered", option);
  }
}

SYS_FUNCTION(f_set_process_name) {
  const char *name;
  SYS_ARGS("s", &name);
  return sys_result(ctx, prctl(PR_SET_NAME, name));
}

static int to_limit(JSContext *ctx, JSValueConst value, uint64_t *out) {
  struct sys_call call = {.ctx = ctx};
  double number;
  if (JS_IsNumber(value)) { /* 2^64 - 1 from JSON arrives as the double 2^64 */
    if (JS_ToFloat64(ctx, &number, value) < 0) return -1;
    if (number >= 9223372036854775808.0) {
      *out = RLIM_INFINITY;
      return 0;
    }
  }
  return sys_parse(&call, 1, &value, "m", out);
}

SYS_FUNCTION(f_prlimit) {
  int pid, resource;
  uint64_t soft, hard;
  SYS_ARGS("ii", &pid, &resource);
  if (to_limit(ctx, argv[2], &soft) < 0 || to_limit(ctx, argv[3], &hard) < 0) return JS_EXCEPTION;
  uint64_t limits[2] = {soft, hard};
  return sys_result(ctx, syscall(SYS_prlimit64, pid, resource, limits, NULL));
}

SYS_FUNCTION(f_getrlimit) {
  int pid, resource;
  uint64_t limits[2];
  SYS_ARGS("ii", &pid, &resource);
  if (syscall(SYS_prlimit64, pid, resource, NULL, limits) < 0) return sys_result(ctx, -1);
  return sys_pair(ctx, JS_NewBigUint64(ctx, limits[0]), JS_NewBigUint64(ctx, limits[1]));
}

SYS_FUNCTION(f_setpriority) {
  int pid, nice;
  SYS_ARGS("ii", &pid, &nice);
  return sys_result(ctx, setpriority(PRIO_PROCESS, (id_t)pid, nice));
}

SYS_FUNCTION(f_set_affinity) {
  int pid;
  int64_t cpus[MAX_CPUS];
  unsigned long mask[MAX_CPUS / (8 * sizeof(unsigned long))] = {0};
  SYS_ARGS("i", &pid);
  int count = sys_integers(ctx, argv[1], 0, MAX_CPUS - 1, cpus, MAX_CPUS);
  if (count < 0) return JS_EXCEPTION;
  for (int i = 0; i < count; i++)
    mask[cpus[i] / (8 * sizeof *mask)] |= 1UL << (cpus[i] % (8 * sizeof *mask));
  return sys_result(ctx, syscall(SYS_sched_setaffinity, pid, sizeof mask, mask));
}

SYS_FUNCTION(f_set_idle) {
  /* SCHED_IDLE; struct sched_param is one int. IOPRIO_WHO_PROCESS, IOPRIO_CLASS_IDLE. */
  enum { IDLE_POLICY = 5, WHO_PROCESS = 1, CLASS_IDLE = 3, CLASS_SHIFT = 13 };
  int priority = 0;
  SYS_UNUSED;
  if (syscall(SYS_sched_setscheduler, 0, IDLE_POLICY, &priority) < 0) return sys_result(ctx, -1);
  return sys_result(ctx, syscall(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE << CLASS_SHIFT));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("prctl", 5, f_prctl),
    JS_CFUNC_DEF("setProcessName", 1, f_set_process_name),
    JS_CFUNC_DEF("prlimit", 4, f_prlimit),
    JS_CFUNC_DEF("getrlimit", 2, f_getrlimit),
    JS_CFUNC_DEF("setpriority", 2, f_setpriority),
    JS_CFUNC_DEF("setAffinity", 2, f_set_affinity),
    JS_CFUNC_DEF("setIdle", 0, f_set_idle),
};
SYS_GROUP(sys_limits_group, functions);
