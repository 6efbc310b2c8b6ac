/*
 * Argument parsing and results, for all files of the `sys` module.
 *
 * Every function parses its arguments with sys_parse before it calls the kernel. A wrong type or range throws; a refusal
 * of the kernel is returned as -errno (sys.d.ts). No function may call back into JavaScript between taking a buffer's
 * address and using it.
 */
#ifndef BLAZAR_SYS_H
#define BLAZAR_SYS_H

#include <stddef.h>
#include <stdint.h>

#include "quickjs.h"

/* Our own bit, which open(2) does not use: do not add O_CLOEXEC. */
#define O_INHERIT 0x40000000

#define SYS_MAX_STRINGS 4
#define SYS_FUNCTION(name) static JSValue name(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv)
#define SYS_UNUSED (void)this_val, (void)argc, (void)argv

/* The strings that one call has taken. They are released when the function returns. */
struct sys_call {
  JSContext *ctx;
  int count;
  const char *strings[SYS_MAX_STRINGS];
};

/* A checked range of an ArrayBuffer. */
struct sys_bytes {
  uint8_t *data;
  size_t length;
};

/*
 * Parses `argv` by `format`, one letter an argument (b: three), and throws on the first that does not fit:
 *   s  string without NUL        const char **      z  the same, or null/undefined (NULL)
 *   f  descriptor, 0 or more     int *              i  int32                       int *
 *   u  32 bits, signed allowed   uint32_t *         n  integer 0 to 2^53 - 1       int64_t *
 *   m  64-bit mask, number or BigInt   uint64_t *   t  boolean                     int *
 *   b  buffer, offset, length    struct sys_bytes *
 * After `|` an undefined argument leaves its variable alone.
 */
int sys_parse(struct sys_call *call, int argc, JSValueConst *argv, const char *format, ...);
void sys_release(struct sys_call *call);

#define SYS_ARGS(...)                                                                          \
  __attribute__((cleanup(sys_release))) struct sys_call call = {.ctx = ctx};                   \
  (void)this_val;                                                                              \
  if (sys_parse(&call, argc, argv, __VA_ARGS__) < 0) return JS_EXCEPTION

/* A system call's result: the value, or -errno if it is negative. */
JSValue sys_result(JSContext *ctx, int64_t result);
/* -error. */
JSValue sys_failure(JSContext *ctx, int error);
/* [a, b]. */
JSValue sys_pair(JSContext *ctx, JSValue a, JSValue b);
/* Sets obj[name] and frees the value. */
void sys_set(JSContext *ctx, JSValueConst object, const char *name, JSValue value);
/* An array of integers in [min, max]: the count, or -1 with an exception. */
int sys_integers(JSContext *ctx, JSValueConst array, int64_t min, int64_t max, int64_t *out, int capacity);
/* A NULL-terminated copy of an array of strings, or NULL with an exception; free with sys_free_strings. */
char **sys_strings(JSContext *ctx, JSValueConst array);
void sys_free_strings(char **strings);

/* The string of UTF-8 bytes; ill-formed ones become U+FFFD. (engine/text.c) */
JSValue sys_text(JSContext *ctx, const uint8_t *bytes, size_t length);
/* Bounds the nesting that JSON.parse accepts. (engine/text.c) */
int sys_guard_json(JSContext *ctx);
/* Raw open(2). musl's sets close-on-exec a second time, for kernels without the flag. (files/descriptors.c) */
int sys_open(const char *path, uint32_t flags, uint32_t mode);
/* Ignores a signal until sys_reset_signals. Nothing else may change a signal's action. (process/signals.c) */
int sys_ignore_signal(int signal);
/* Sets all signals to their default action and unblocks them. (process/signals.c) */
void sys_reset_signals(void);
/* The function that the main loop calls, or undefined. (engine/engine.c) */
JSValueConst sys_tick(void);
void sys_set_memory_limit(JSRuntime *runtime, size_t limit);

/* The functions of one file. module.c lists the groups. */
struct sys_group {
  const JSCFunctionListEntry *entries;
  int count;
};
#define SYS_GROUP(name, table) const struct sys_group name = {table, (int)(sizeof table / sizeof *table)}

JSModuleDef *js_init_module_sys(JSContext *ctx, const char *name);

#endif
