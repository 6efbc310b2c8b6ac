/*
 * The engine seen from TypeScript: the function that the main loop calls, and memory figures.
 */
#include "sys.h"

static JSValue tick; /* valid if ticking */
static int ticking;
static size_t memory_limit;

JSValueConst sys_tick(void) { return ticking ? tick : JS_UNDEFINED; }

void sys_set_memory_limit(JSRuntime *runtime, size_t limit) {
  memory_limit = limit;
  JS_SetMemoryLimit(runtime, limit);
}

SYS_FUNCTION(f_set_tick) {
  (void)this_val, (void)argc;
  if (!JS_IsNull(argv[0]) && !JS_IsFunction(ctx, argv[0]))
    return JS_ThrowTypeError(ctx, "argument 1 must be a function or null");
  JSValue old = ticking ? tick : JS_UNDEFINED;
  ticking = !JS_IsNull(argv[0]);
  tick = JS_DupValue(ctx, argv[0]);
  JS_FreeValue(ctx, old);
  return JS_UNDEFINED;
}

SYS_FUNCTION(f_memory_usage) {
  JSMemoryUsage usage;
  SYS_UNUSED;
  JS_ComputeMemoryUsage(JS_GetRuntime(ctx), &usage);
  JSValue object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  sys_set(ctx, object, "allocated", JS_NewInt64(ctx, usage.malloc_size));
  sys_set(ctx, object, "used", JS_NewInt64(ctx, usage.memory_used_size));
  sys_set(ctx, object, "objects", JS_NewInt64(ctx, usage.obj_count));
  sys_set(ctx, object, "limit", JS_NewInt64(ctx, (int64_t)memory_limit));
  return object;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("setTick", 1, f_set_tick),
    JS_CFUNC_DEF("memoryUsage", 0, f_memory_usage),
};
SYS_GROUP(sys_engine_group, functions);
