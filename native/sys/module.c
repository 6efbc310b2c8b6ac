/*
 * Registers the `sys` module. Each C file below native/sys has one group of functions, listed here.
 */
#include "sys/sys.h"

#include <sys/resource.h>

extern const struct sys_group sys_mounts_group, sys_paths_group, sys_content_group, sys_descriptors_group, sys_process_group,
    sys_limits_group, sys_signals_group, sys_privileges_group, sys_devices_group, sys_terminals_group, sys_polling_group,
    sys_sockets_group, sys_interfaces_group, sys_machine_group, sys_clock_group, sys_text_group,
    sys_engine_group, sys_constants_group, sys_errors_group, sys_errno_group, sys_memory_group,
    sys_served_group, sys_changed_group, sys_locked_group, sys_fuse_pump_group;

static const struct sys_group *const groups[] = {
    &sys_mounts_group, &sys_paths_group, &sys_content_group, &sys_descriptors_group, &sys_process_group,
    &sys_limits_group, &sys_signals_group, &sys_privileges_group, &sys_devices_group, &sys_terminals_group, &sys_polling_group,
    &sys_sockets_group, &sys_interfaces_group, &sys_machine_group, &sys_clock_group, &sys_text_group,
    &sys_engine_group, &sys_constants_group, &sys_errors_group, &sys_errno_group, &sys_memory_group,
    &sys_served_group, &sys_changed_group, &sys_locked_group, &sys_fuse_pump_group,
};
#define GROUP_COUNT (sizeof groups / sizeof *groups)

static int initialise(JSContext *ctx, JSModuleDef *module) {
  for (size_t i = 0; i < GROUP_COUNT; i++)
    if (JS_SetModuleExportList(ctx, module, groups[i]->entries, groups[i]->count) < 0) return -1;
  return JS_SetModuleExport(ctx, module, "RLIM_INFINITY", JS_NewBigUint64(ctx, RLIM_INFINITY));
}

JSModuleDef *js_init_module_sys(JSContext *ctx, const char *name) {
  JSModuleDef *module = JS_NewCModule(ctx, name, initialise);
  if (!module) return NULL;
  for (size_t i = 0; i < GROUP_COUNT; i++)
    if (JS_AddModuleExportList(ctx, module, groups[i]->entries, groups[i]->count) < 0) return NULL;
  return JS_AddModuleExport(ctx, module, "RLIM_INFINITY") < 0 ? NULL : module;
}
