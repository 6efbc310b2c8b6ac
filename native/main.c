/*
 * The runtime of guest agent and keeper: QuickJS, the `sys` module and one compiled program.
 *
 * The program is TypeScript, bundled to one module and compiled by `qjsc -c -m -N program_bytecode -M sys,sys`. As PID 1
 * it runs under supervisor.c, otherwise alone. An error thrown at the program's top level ends it with status 70
 * (EX_SOFTWARE of sysexits.h). Later errors and unhandled rejections are logged, and the program goes on.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "allocator.h"
#include "quickjs-libc.h"
#include "quickjs.h"
#include "supervisor.h"
#include "sys/sys.h"

#ifndef BLAZAR_MEMORY_LIMIT
#define BLAZAR_MEMORY_LIMIT (64u << 20)
#endif
#ifndef BLAZAR_STACK_SIZE
#define BLAZAR_STACK_SIZE (512u << 10) /* of the thread's 8 MB; the rest is for C functions */
#endif
#define EXIT_TOP_LEVEL_THROW 70
#define MAX_REJECTIONS 64
#define CALM_AFTER 8 /* after so many failed ticks in a row, the loop is slowed down */

extern const uint8_t program_bytecode[];
extern const uint32_t program_bytecode_size;

/* Rejected promises that are not handled yet. They are logged when the job queue is empty, not before. */
static struct {
  JSValue promise, reason;
} rejections[MAX_REJECTIONS];
static int rejection_count;

/*
 * Replaces libc's abort(3), which signals the thread id that libc remembers. In a child of raw clone(2) that is still the
 * parent's id.
 */
_Noreturn void abort(void) {
  signal(SIGABRT, SIG_DFL);
  syscall(SYS_kill, syscall(SYS_getpid), SIGABRT);
  _exit(128 + SIGABRT);
}

static void log_value(JSContext *ctx, const char *what, JSValueConst value) {
  const char *text = JS_ToCString(ctx, value), *trace = NULL;
  JSValue stack = JS_IsObject(value) ? JS_GetPropertyStr(ctx, value, "stack") : JS_UNDEFINED;
  if (JS_IsString(stack)) trace = JS_ToCString(ctx, stack);
  fprintf(stderr, "%s: %s\n%s", what, text ? text : "(not printable)", trace ? trace : "");
  fflush(stderr);
  JS_FreeCString(ctx, text);
  JS_FreeCString(ctx, trace);
  JS_FreeValue(ctx, stack);
  JS_FreeValue(ctx, JS_GetException(ctx)); /* printing throws when memory is short */
}

static void log_exception(JSContext *ctx, const char *what) {
  JSValue exception = JS_GetException(ctx);
  log_value(ctx, what, exception);
  JS_FreeValue(ctx, exception);
}

static void drop_rejection(JSContext *ctx, int index) {
  JS_FreeValue(ctx, rejections[index].promise);
  JS_FreeValue(ctx, rejections[index].reason);
  rejections[index] = rejections[--rejection_count];
}

static void on_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, JS_BOOL handled, void *opaque) {
  (void)opaque;
  if (handled) {
    for (int i = 0; i < rejection_count; i++)
      if (JS_VALUE_GET_PTR(rejections[i].promise) == JS_VALUE_GET_PTR(promise)) {
        drop_rejection(ctx, i);
        return;
      }
    return;
  }
  if (rejection_count == MAX_REJECTIONS) {
    log_value(ctx, "unhandled rejection", reason);
    return;
  }
  rejections[rejection_count].promise = JS_DupValue(ctx, promise);
  rejections[rejection_count++].reason = JS_DupValue(ctx, reason);
}

static void run_jobs(JSContext *ctx) {
  JSContext *failed;
  int result;
  while ((result = JS_ExecutePendingJob(JS_GetRuntime(ctx), &failed)) != 0)
    if (result < 0) log_exception(failed, "exception in a job");
}

static void log_rejections(JSContext *ctx) {
  while (rejection_count > 0) {
    log_value(ctx, "unhandled rejection", rejections[0].reason);
    drop_rejection(ctx, 0);
  }
}

static JSContext *new_context(int argc, char **argv) {
  const JSMallocFunctions *allocator = blazar_allocator();
  JSRuntime *runtime = allocator ? JS_NewRuntime2(allocator, NULL) : NULL;
  if (!runtime) return NULL;
  js_std_init_handlers(runtime);
  sys_set_memory_limit(runtime, BLAZAR_MEMORY_LIMIT);
  JS_SetMaxStackSize(runtime, BLAZAR_STACK_SIZE);
  JS_SetHostPromiseRejectionTracker(runtime, on_rejection, NULL);
  JSContext *ctx = JS_NewContext(runtime);
  if (!ctx) return NULL;
  js_std_add_helpers(ctx, argc, argv);
  if (!js_init_module_std(ctx, "std") || !js_init_module_os(ctx, "os") || !js_init_module_sys(ctx, "sys")) return NULL;
  if (sys_guard_json(ctx) < 0) return NULL;
  return ctx;
}

/* Runs the program's top level. Returns its promise, or an exception. There is no module loader: the bundle is whole. */
static JSValue start_program(JSContext *ctx) {
  JSValue module = JS_ReadObject(ctx, program_bytecode, program_bytecode_size, JS_READ_OBJ_BYTECODE);
  if (JS_IsException(module)) return module;
  if (JS_ResolveModule(ctx, module) < 0) {
    JS_FreeValue(ctx, module);
    return JS_EXCEPTION;
  }
  return JS_EvalFunction(ctx, module);
}

/* Whether the top level has failed. Logs the reason. */
static int top_level_failed(JSContext *ctx, JSValueConst program) {
  if (JS_IsException(program)) {
    log_exception(ctx, "exception at top level");
    return 1;
  }
  if (JS_PromiseState(ctx, program) != JS_PROMISE_REJECTED) return 0;
  JSValue reason = JS_PromiseResult(ctx, program);
  log_value(ctx, "exception at top level", reason);
  JS_FreeValue(ctx, reason);
  return 1;
}

static int run_engine(int argc, char **argv) {
  int failures = 0;
  sys_reset_signals();        /* do not inherit what the caller ignores or blocks */
  sys_ignore_signal(SIGPIPE); /* writes report EPIPE instead; `clone` resets it in the child */
  JSContext *ctx = new_context(argc, argv);
  if (!ctx) {
    fprintf(stderr, "cannot start the JavaScript engine: out of memory\n");
    return EXIT_TOP_LEVEL_THROW;
  }
  JSValue program = start_program(ctx);
  for (;;) {
    run_jobs(ctx);
    if (top_level_failed(ctx, program)) return EXIT_TOP_LEVEL_THROW;
    log_rejections(ctx);
    if (JS_IsUndefined(sys_tick())) return 0;
    JSValue tick = JS_DupValue(ctx, sys_tick()), result = JS_Call(ctx, tick, JS_UNDEFINED, 0, NULL);
    JS_FreeValue(ctx, tick);
    if (JS_IsException(result)) {
      log_exception(ctx, "exception in the main loop");
      if (++failures > CALM_AFTER) nanosleep(&(struct timespec){0, 100000000L}, NULL);
    } else {
      failures = 0;
    }
    JS_FreeValue(ctx, result);
  }
}

int main(int argc, char **argv) {
  if (getpid() == 1) supervise(argc, argv, run_engine);
  return run_engine(argc, argv);
}
