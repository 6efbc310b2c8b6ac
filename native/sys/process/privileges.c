/*
 * Ids, capabilities and system call filters: setuid(2), setgroups(2), capabilities(7), seccomp(2).
 *
 * Ids are set by raw system calls: musl's wrappers synchronise threads, and a cloned engine has only one. The caller
 * decides the order of the calls (guest/agent/process/credentials.ts, keeper/child.ts).
 */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/sys.h"

#define MAX_GROUPS 65536
#define MAX_CAPABILITIES 64

SYS_FUNCTION(f_getids) {
  SYS_UNUSED;
  JSValue object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  sys_set(ctx, object, "uid", JS_NewUint32(ctx, getuid()));
  sys_set(ctx, object, "euid", JS_NewUint32(ctx, geteuid()));
  sys_set(ctx, object, "gid", JS_NewUint32(ctx, getgid()));
  sys_set(ctx, object, "egid", JS_NewUint32(ctx, getegid()));
  return object;
}

SYS_FUNCTION(f_setuid) {
  uint32_t uid;
  SYS_ARGS("u", &uid);
  return sys_result(ctx, syscall(SYS_setuid, uid));
}

SYS_FUNCTION(f_setgid) {
  uint32_t gid;
  SYS_ARGS("u", &gid);
  return sys_result(ctx, syscall(SYS_setgid, gid));
}

SYS_FUNCTION(f_setresuid) {
  uint32_t real, effective, saved;
  SYS_ARGS("uuu", &real, &effective, &saved);
  return sys_result(ctx, syscall(SYS_setresuid, real, effective, saved));
}

SYS_FUNCTION(f_setresgid) {
  uint32_t real, effective, saved;
  SYS_ARGS("uuu", &real, &effective, &saved);
  return sys_result(ctx, syscall(SYS_setresgid, real, effective, saved));
}

SYS_FUNCTION(f_setgroups) {
  (void)this_val, (void)argc;
  int64_t length;
  JSValue property = JS_GetPropertyStr(ctx, argv[0], "length");
  int failed = JS_ToInt64(ctx, &length, property) < 0;
  JS_FreeValue(ctx, property);
  if (failed) return JS_EXCEPTION;
  /* a list that is too long is refused by sys_integers, which says what is wrong */
  int capacity = length < 0 ? 0 : length < MAX_GROUPS ? (int)length : MAX_GROUPS;
  int64_t *wide = malloc(((size_t)capacity + 1) * sizeof *wide);
  gid_t *groups = malloc(((size_t)capacity + 1) * sizeof *groups);
  JSValue result = JS_EXCEPTION;
  if (!wide || !groups) {
    JS_ThrowOutOfMemory(ctx);
  } else {
    int count = sys_integers(ctx, argv[0], 0, UINT_MAX, wide, capacity);
    for (int i = 0; i < count; i++) groups[i] = (gid_t)wide[i];
    if (count >= 0) result = sys_result(ctx, syscall(SYS_setgroups, count, groups));
  }
  free(wide);
  free(groups);
  return result;
}

SYS_FUNCTION(f_capset) {
  uint64_t effective, permitted, inheritable;
  SYS_ARGS("mmm", &effective, &permitted, &inheritable);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {
      {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
      {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
  };
  return sys_result(ctx, syscall(SYS_capset, &header, data));
}

static JSValue mask(JSContext *ctx, uint32_t low, uint32_t high) {
  return JS_NewBigUint64(ctx, (uint64_t)high << 32 | low);
}

SYS_FUNCTION(f_capget) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  SYS_UNUSED;
  if (syscall(SYS_capget, &header, data) < 0) return sys_result(ctx, -1);
  JSValue object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  sys_set(ctx, object, "effective", mask(ctx, data[0].effective, data[1].effective));
  sys_set(ctx, object, "permitted", mask(ctx, data[0].permitted, data[1].permitted));
  sys_set(ctx, object, "inheritable", mask(ctx, data[0].inheritable, data[1].inheritable));
  return object;
}

SYS_FUNCTION(f_limit_bounding) {
  uint64_t keep;
  SYS_ARGS("m", &keep);
  for (unsigned long capability = 0; capability < MAX_CAPABILITIES; capability++) {
    if (keep >> capability & 1 || prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    int error = errno, present = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (present < 0) break; /* EINVAL: the kernel has no more capabilities */
    if (present) return sys_failure(ctx, error);
  }
  return JS_NewInt32(ctx, 0);
}

SYS_FUNCTION(f_set_ambient) {
  uint64_t wanted;
  SYS_ARGS("m", &wanted);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return sys_result(ctx, -1);
  for (unsigned long capability = 0; capability < MAX_CAPABILITIES; capability++) {
    if (!(wanted >> capability & 1)) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) return sys_result(ctx, -1);
  }
  return JS_NewInt32(ctx, 0);
}

SYS_FUNCTION(f_seccomp_filter) {
  size_t size;
  uint32_t flags;
  (void)this_val;
  uint8_t *program = JS_GetArrayBuffer(ctx, &size, argv[0]);
  if (!program && JS_HasException(ctx)) return JS_EXCEPTION;
  struct sys_call last = {.ctx = ctx};
  if (sys_parse(&last, argc - 1, argv + 1, "u", &flags) < 0) return JS_EXCEPTION;
  if (size == 0 || size % sizeof(struct sock_filter) || size / sizeof(struct sock_filter) > BPF_MAXINSNS)
    return JS_ThrowRangeError(ctx, "a filter has 1 to %d instructions of %d bytes", BPF_MAXINSNS,
                              (int)sizeof(struct sock_filter));
  struct sock_fprog filter = {(unsigned short)(size / sizeof(struct sock_filter)), (struct sock_filter *)program};
  return sys_result(ctx, syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("getids", 0, f_getids),
    JS_CFUNC_DEF("setuid", 1, f_setuid),
    JS_CFUNC_DEF("setgid", 1, f_setgid),
    JS_CFUNC_DEF("setresuid", 3, f_setresuid),
    JS_CFUNC_DEF("setresgid", 3, f_setresgid),
    JS_CFUNC_DEF("setgroups", 1, f_setgroups),
    JS_CFUNC_DEF("capset", 3, f_capset),
    JS_CFUNC_DEF("capget", 0, f_capget),
    JS_CFUNC_DEF("limitBounding", 1, f_limit_bounding),
    JS_CFUNC_DEF("setAmbient", 1, f_set_ambient),
    JS_CFUNC_DEF("seccompFilter", 2, f_seccomp_filter),
};
SYS_GROUP(sys_privileges_group, functions);
