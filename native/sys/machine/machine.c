/*
 * The machine as a whole: sethostname(2), setdomainname(2), finit_module(2), reboot(2), uname(2).
 */
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "sys/sys.h"

SYS_FUNCTION(f_sethostname) {
  const char *name;
  SYS_ARGS("s", &name);
  return sys_result(ctx, sethostname(name, strlen(name)));
}

SYS_FUNCTION(f_setdomainname) {
  const char *name;
  SYS_ARGS("s", &name);
  return sys_result(ctx, setdomainname(name, strlen(name)));
}

SYS_FUNCTION(f_reboot) {
  uint32_t command;
  SYS_ARGS("u", &command);
  sync();
  return sys_result(ctx, reboot((int)command));
}

SYS_FUNCTION(f_uname) {
  struct utsname name;
  SYS_UNUSED;
  if (uname(&name) < 0) return sys_result(ctx, -1);
  JSValue object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  sys_set(ctx, object, "release", JS_NewString(ctx, name.release));
  sys_set(ctx, object, "machine", JS_NewString(ctx, name.machine));
  sys_set(ctx, object, "nodename", JS_NewString(ctx, name.nodename));
  return object;
}

SYS_FUNCTION(f_finit_module) {
  const char *parameters;
  int fd;
  uint32_t flags;
  SYS_ARGS("fsu", &fd, &parameters, &flags);
  return sys_result(ctx, syscall(SYS_finit_module, fd, parameters, flags));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("sethostname", 1, f_sethostname),
    JS_CFUNC_DEF("setdomainname", 1, f_setdomainname),
    JS_CFUNC_DEF("reboot", 1, f_reboot),
    JS_CFUNC_DEF("uname", 0, f_uname),
    JS_CFUNC_DEF("finitModule", 3, f_finit_module),
};
SYS_GROUP(sys_machine_group, functions);
