/*
 * The engine itself: the function that the main loop calls, memory figures, and values as bytes.
 */
#include "sys/sys.h"

static JSValue tick; /* valid while `ticking` is set */
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

SYS_FUNCTION(f_set_memory_limit) {
  int64_t bytes;
  SYS_ARGS("n", &bytes);
  sys_set_memory_limit(JS_GetRuntime(ctx), (size_t)bytes);
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

SYS_FUNCTION(f_serialize) {
  size_t size;
  (void)this_val, (void)argc;
  uint8_t *bytes = JS_WriteObject(ctx, &size, argv[0], 0);
  if (!bytes) return JS_EXCEPTION;
  JSValue buffer = JS_NewArrayBufferCopy(ctx, bytes, size);
  js_free(ctx, bytes);
  return buffer;
}

SYS_FUNCTION(f_deserialize) {
  struct sys_bytes bytes;
  SYS_ARGS("b", &bytes);
  return JS_ReadObject(ctx, bytes.data, bytes.length, 0);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("setTick", 1, f_set_tick),
    JS_CFUNC_DEF("memoryUsage", 0, f_memory_usage),
    JS_CFUNC_DEF("setMemoryLimit", 1, f_set_memory_limit),
    JS_CFUNC_DEF("serialize", 1, f_serialize),
    JS_CFUNC_DEF("deserialize", 3, f_deserialize),
};
SYS_GROUP(sys_engine_group, functions);
