/*
 * Argument parsing and results of the `sys` module. sys.h explains the format letters.
 *
 * Only primitives are converted, so that no JavaScript runs in between. The getters of an array may run JavaScript, so
 * callers parse arrays before they take the address of a buffer.
 */
#include "sys/sys.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SAFE_INTEGER 9007199254740991LL

static int fail_type(JSContext *ctx, int index, const char *wanted) {
  JS_ThrowTypeError(ctx, "argument %d must be %s", index + 1, wanted);
  return -1;
}

static int to_integer(JSContext *ctx, JSValueConst value, int index, int64_t min, int64_t max, int64_t *out) {
  double number;
  if (JS_VALUE_GET_TAG(value) == JS_TAG_INT && JS_VALUE_GET_INT(value) >= min && JS_VALUE_GET_INT(value) <= max) {
    *out = JS_VALUE_GET_INT(value); /* nearly all numbers, without floating point */
    return 0;
  }
  if (!JS_IsNumber(value)) return fail_type(ctx, index, "a number");
  if (JS_ToFloat64(ctx, &number, value) < 0) return -1;
  if (!(number >= (double)min && number <= (double)max) || number != floor(number)) {
    JS_ThrowRangeError(ctx, "argument %d must be an integer from %lld to %lld", index + 1, (long long)min,
                       (long long)max);
    return -1;
  }
  *out = (int64_t)number;
  return 0;
}

static int to_string(struct sys_call *call, JSValueConst value, int index, const char **out) {
  size_t length;
  const char *text;
  if (!JS_IsString(value)) return fail_type(call->ctx, index, "a string");
  if (call->count == SYS_MAX_STRINGS) abort();
  text = JS_ToCStringLen(call->ctx, &length, value);
  if (!text) return -1;
  call->strings[call->count++] = text;
  if (strlen(text) != length) {
    JS_ThrowRangeError(call->ctx, "argument %d must not contain NUL", index + 1);
    return -1;
  }
  *out = text;
  return 0;
}

static int to_mask(JSContext *ctx, JSValueConst value, int index, uint64_t *out) {
  int64_t number;
  if (JS_IsBigInt(ctx, value)) {
    if (JS_ToBigInt64(ctx, &number, value) < 0) return -1;
    *out = (uint64_t)number;
    return 0;
  }
  if (to_integer(ctx, value, index, 0, MAX_SAFE_INTEGER, &number) < 0) return -1;
  *out = (uint64_t)number;
  return 0;
}

static int to_bytes(JSContext *ctx, JSValueConst *argv, int index, struct sys_bytes *out) {
  size_t size;
  int64_t offset, length;
  uint8_t *data;
  if (to_integer(ctx, argv[1], index + 1, 0, MAX_SAFE_INTEGER, &offset) < 0) return -1;
  if (to_integer(ctx, argv[2], index + 2, 0, MAX_SAFE_INTEGER, &length) < 0) return -1;
  data = JS_GetArrayBuffer(ctx, &size, argv[0]);
  if (!data && JS_HasException(ctx)) return -1; /* an empty buffer has no data, but no exception either */
  if (offset > (int64_t)size || length > (int64_t)size - offset) {
    JS_ThrowRangeError(ctx, "[%lld, %lld) is outside of a buffer of %lld bytes", (long long)offset,
                       (long long)(offset + length), (long long)size);
    return -1;
  }
  out->data = data + offset;
  out->length = (size_t)length;
  return 0;
}

static int to_scalar(struct sys_call *call, JSValueConst value, int index, char letter, void *out) {
  int64_t number = 0;
  switch (letter) {
    case 'z':
      if (JS_IsNull(value) || JS_IsUndefined(value)) {
        *(const char **)out = NULL;
        return 0;
      }
      return to_string(call, value, index, out);
    case 's':
      return to_string(call, value, index, out);
    case 'f':
      if (to_integer(call->ctx, value, index, 0, INT_MAX, &number) < 0) return -1;
      *(int *)out = (int)number;
      return 0;
    case 'i':
      if (to_integer(call->ctx, value, index, INT_MIN, INT_MAX, &number) < 0) return -1;
      *(int *)out = (int)number;
      return 0;
    case 'u':
      if (to_integer(call->ctx, value, index, INT_MIN, UINT_MAX, &number) < 0) return -1;
      *(uint32_t *)out = (uint32_t)number;
      return 0;
    case 'n':
      return to_integer(call->ctx, value, index, 0, MAX_SAFE_INTEGER, out);
    case 'm':
      return to_mask(call->ctx, value, index, out);
    case 't':
      if (!JS_IsBool(value)) return fail_type(call->ctx, index, "a boolean");
      *(int *)out = JS_ToBool(call->ctx, value);
      return 0;
    default:
      abort();
  }
}

int sys_parse(struct sys_call *call, int argc, JSValueConst *argv, const char *format, ...) {
  va_list outputs;
  int index = 0, optional = 0, result = 0;
  va_start(outputs, format);
  for (; *format && result == 0; format++) {
    if (*format == '|') {
      optional = 1;
      continue;
    }
    void *out = va_arg(outputs, void *);
    if (*format == 'b') {
      if (index + 3 > argc)
        result = fail_type(call->ctx, index, "an ArrayBuffer, with offset and length");
      else
        result = to_bytes(call->ctx, argv + index, index, out);
      index += 3;
      continue;
    }
    JSValueConst value = index < argc ? argv[index] : JS_UNDEFINED;
    if (!(optional && JS_IsUndefined(value))) result = to_scalar(call, value, index, *format, out);
    index++;
  }
  va_end(outputs);
  return result;
}

void sys_release(struct sys_call *call) {
  for (int i = 0; i < call->count; i++) JS_FreeCString(call->ctx, call->strings[i]);
}

JSValue sys_result(JSContext *ctx, int64_t result) { return JS_NewInt64(ctx, result < 0 ? -errno : result); }

JSValue sys_failure(JSContext *ctx, int error) { return JS_NewInt32(ctx, -error); }

JSValue sys_pair(JSContext *ctx, JSValue a, JSValue b) {
  JSValue pair = JS_NewArray(ctx);
  if (JS_IsException(pair)) {
    JS_FreeValue(ctx, a);
    JS_FreeValue(ctx, b);
    return pair;
  }
  JS_SetPropertyUint32(ctx, pair, 0, a);
  JS_SetPropertyUint32(ctx, pair, 1, b);
  return pair;
}

void sys_set(JSContext *ctx, JSValueConst object, const char *name, JSValue value) {
  JS_SetPropertyStr(ctx, object, name, value);
}

static int array_length(JSContext *ctx, JSValueConst array, int64_t max) {
  int64_t length = 0;
  JSValue value;
  if (!JS_IsArray(ctx, array)) {
    JS_ThrowTypeError(ctx, "an array is needed");
    return -1;
  }
  value = JS_GetPropertyStr(ctx, array, "length");
  if (JS_IsException(value)) return -1;
  JS_ToInt64(ctx, &length, value);
  JS_FreeValue(ctx, value);
  if (length > max) {
    JS_ThrowRangeError(ctx, "the array has %lld elements, at most %lld are allowed", (long long)length,
                       (long long)max);
    return -1;
  }
  return (int)length;
}

int sys_integers(JSContext *ctx, JSValueConst array, int64_t min, int64_t max, int64_t *out, int capacity) {
  int count = array_length(ctx, array, capacity);
  for (int i = 0; i < count; i++) {
    JSValue value = JS_GetPropertyUint32(ctx, array, (uint32_t)i);
    int bad = JS_IsException(value) || to_integer(ctx, value, i, min, max, &out[i]) < 0;
    JS_FreeValue(ctx, value);
    if (bad) return -1;
  }
  return count;
}

char **sys_strings(JSContext *ctx, JSValueConst array) {
  int count = array_length(ctx, array, 1 << 20);
  char **strings;
  if (count < 0) return NULL;
  strings = calloc((size_t)count + 1, sizeof *strings);
  for (int i = 0; strings && i < count; i++) {
    struct sys_call call = {.ctx = ctx};
    JSValue value = JS_GetPropertyUint32(ctx, array, (uint32_t)i);
    const char *text = NULL;
    int bad = JS_IsException(value) || to_string(&call, value, i, &text) < 0;
    if (!bad) strings[i] = strdup(text);
    sys_release(&call);
    JS_FreeValue(ctx, value);
    if (bad) {
      sys_free_strings(strings);
      return NULL;
    }
    if (!strings[i]) {
      sys_free_strings(strings);
      strings = NULL;
    }
  }
  if (!strings) JS_ThrowOutOfMemory(ctx);
  return strings;
}

void sys_free_strings(char **strings) {
  if (!strings) return;
  for (char **each = strings; *each; each++) free(*each);
  free(strings);
}
