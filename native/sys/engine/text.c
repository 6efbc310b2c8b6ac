/*
 * UTF-8, JSON and base64 between buffers and strings. The engine has no TextEncoder or TextDecoder.
 *
 * Decoding follows the WHATWG Encoding Standard: each maximal ill-formed part becomes one U+FFFD. JSON is checked before
 * the engine parses it, because the engine's parser recurses without a limit and trusts the bytes.
 */
#include <string.h>

#include "sys/sys.h"

#define MAX_JSON_DEPTH 256

static const uint8_t REPLACEMENT[3] = {0xef, 0xbf, 0xbd};

/* The length of the well-formed sequence at p, or minus the length of the ill-formed part. */
static int sequence(const uint8_t *p, const uint8_t *end) {
  uint8_t lead = p[0], low = 0x80, high = 0xbf;
  int length;
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f; /* surrogates are not characters */
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  } else {
    return -1;
  }
  for (int i = 1; i < length; i++) {
    if (p + i == end || p[i] < low || p[i] > high) return -i;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

/* Skips eight bytes at a time while all are ASCII. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end) {
  for (uint64_t eight; end - p >= (ptrdiff_t)sizeof eight; p += sizeof eight) {
    memcpy(&eight, p, sizeof eight);
    if (eight & UINT64_C(0x8080808080808080)) break;
  }
  return p;
}

/* Whether all of the bytes are well-formed. */
static int well_formed(const uint8_t *p, const uint8_t *end) {
  p = skip_ascii(p, end);
  while (p < end) {
    int length = sequence(p, end);
    if (length < 0) return 0;
    p += length;
  }
  return 1;
}

JSValue sys_text(JSContext *ctx, const uint8_t *bytes, size_t length) {
  const uint8_t *p = bytes, *end = bytes + length;
  if (length == 0) return JS_NewStringLen(ctx, "", 0);
  if (well_formed(p, end)) return JS_NewStringLen(ctx, (const char *)bytes, length);
  uint8_t *repaired = js_malloc(ctx, length * sizeof REPLACEMENT), *out = repaired;
  if (!repaired) return JS_EXCEPTION;
  while (p < end) {
    int count = sequence(p, end);
    if (count > 0) {
      memcpy(out, p, (size_t)count);
      out += count;
      p += count;
    } else {
      memcpy(out, REPLACEMENT, sizeof REPLACEMENT);
      out += sizeof REPLACEMENT;
      p -= count;
    }
  }
  JSValue text = JS_NewStringLen(ctx, (const char *)repaired, (size_t)(out - repaired));
  js_free(ctx, repaired);
  return text;
}

/* Copies the engine's UTF-8, in which a lone surrogate has three bytes, like U+FFFD. */
static void copy_text(uint8_t *out, const char *text, size_t length) {
  memcpy(out, text, length);
  for (size_t i = 0; i + 2 < length; i++)
    if (out[i] == 0xed && out[i + 1] >= 0xa0) memcpy(out + i, REPLACEMENT, sizeof REPLACEMENT);
}

SYS_FUNCTION(f_utf8_encode) {
  size_t length;
  (void)this_val, (void)argc;
  if (!JS_IsString(argv[0])) return JS_ThrowTypeError(ctx, "argument 1 must be a string");
  const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
  if (!text) return JS_EXCEPTION;
  JSValue buffer = JS_NewArrayBufferCopy(ctx, (const uint8_t *)text, length);
  size_t size;
  uint8_t *bytes = JS_IsException(buffer) ? NULL : JS_GetArrayBuffer(ctx, &size, buffer);
  if (bytes) copy_text(bytes, text, length);
  JS_FreeCString(ctx, text);
  return buffer;
}

SYS_FUNCTION(f_utf8_encode_into) {
  size_t size, length;
  int64_t offset;
  (void)this_val;
  if (!JS_IsString(argv[0])) return JS_ThrowTypeError(ctx, "argument 1 must be a string");
  struct sys_call last = {.ctx = ctx};
  if (sys_parse(&last, argc - 2, argv + 2, "n", &offset) < 0) return JS_EXCEPTION;
  uint8_t *buffer = JS_GetArrayBuffer(ctx, &size, argv[1]);
  if (!buffer && JS_HasException(ctx)) return JS_EXCEPTION;
  if (offset > (int64_t)size) return JS_ThrowRangeError(ctx, "the offset is outside of the buffer");
  const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
  if (!text) return JS_EXCEPTION;
  int fits = length <= size - (size_t)offset;
  if (fits) copy_text(buffer + offset, text, length);
  JS_FreeCString(ctx, text);
  return JS_NewInt64(ctx, fits ? (int64_t)length : -(int64_t)length);
}

SYS_FUNCTION(f_utf8_decode) {
  struct sys_bytes bytes;
  SYS_ARGS("b", &bytes);
  return sys_text(ctx, bytes.data, bytes.length);
}

/* Whether brackets outside of strings nest no deeper than MAX_JSON_DEPTH. */
static int shallow(const uint8_t *p, const uint8_t *end) {
  int depth = 0, quoted = 0;
  for (; p < end; p++) {
    if (quoted) {
      if (*p == '\\')
        p++;
      else if (*p == '"')
        quoted = 0;
    } else if (*p == '"') {
      quoted = 1;
    } else if (*p == '[' || *p == '{') {
      if (++depth > MAX_JSON_DEPTH) return 0;
    } else if (*p == ']' || *p == '}') {
      depth--;
    }
  }
  return 1;
}

SYS_FUNCTION(f_json_parse) {
  struct sys_bytes bytes;
  SYS_ARGS("b", &bytes);
  const uint8_t *end = bytes.data + bytes.length;
  if (!well_formed(bytes.data, end)) return JS_ThrowSyntaxError(ctx, "ill-formed UTF-8");
  if (!shallow(bytes.data, end)) return JS_ThrowSyntaxError(ctx, "nested deeper than %d", MAX_JSON_DEPTH);
  char *text = js_malloc(ctx, bytes.length + 1); /* the parser wants a NUL after the text */
  if (!text) return JS_EXCEPTION;
  if (bytes.length) memcpy(text, bytes.data, bytes.length);
  text[bytes.length] = 0;
  JSValue value = JS_ParseJSON(ctx, text, bytes.length, "<json>");
  js_free(ctx, text);
  return value;
}

/* The engine's own JSON.parse, after a check: a hostile text would overflow the C stack. */
static JSValue parse_checked(JSContext *ctx, JSValueConst this_val, int argc, JSValueConst *argv, int magic,
                             JSValue *data) {
  size_t length;
  (void)magic;
  const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
  if (!text) return JS_EXCEPTION;
  int accepted = shallow((const uint8_t *)text, (const uint8_t *)text + length);
  JS_FreeCString(ctx, text);
  if (!accepted) return JS_ThrowSyntaxError(ctx, "nested deeper than %d", MAX_JSON_DEPTH);
  return JS_Call(ctx, data[0], this_val, argc, argv);
}

int sys_guard_json(JSContext *ctx) {
  JSValue global = JS_GetGlobalObject(ctx), json = JS_GetPropertyStr(ctx, global, "JSON");
  JSValue original = JS_GetPropertyStr(ctx, json, "parse");
  JSValue checked = JS_NewCFunctionData(ctx, parse_checked, 2, 0, 1, &original);
  int result = JS_IsException(checked) ? -1 : JS_SetPropertyStr(ctx, json, "parse", checked);
  JS_FreeValue(ctx, original);
  JS_FreeValue(ctx, json);
  JS_FreeValue(ctx, global);
  return result < 0 ? -1 : 0;
}

static int base64_digit(uint8_t c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void free_bytes(JSRuntime *runtime, void *opaque, void *bytes) {
  (void)opaque;
  js_free_rt(runtime, bytes);
}

SYS_FUNCTION(f_base64_decode) {
  const char *text;
  SYS_ARGS("s", &text);
  size_t length = strlen(text), count = 0;
  if (length % 4) return JS_ThrowRangeError(ctx, "base64 comes in groups of four characters");
  size_t padding = length && text[length - 1] == '=' ? 1 + (text[length - 2] == '=') : 0;
  uint8_t *bytes = js_malloc(ctx, length / 4 * 3 + 1);
  if (!bytes) return JS_EXCEPTION;
  uint32_t bits = 0;
  for (size_t i = 0; i < length; i++) {
    int digit = i >= length - padding ? 0 : base64_digit((uint8_t)text[i]);
    if (digit < 0) {
      js_free(ctx, bytes);
      return JS_ThrowRangeError(ctx, "not a character of base64 at %d", (int)i);
    }
    bits = bits << 6 | (uint32_t)digit;
    if (i % 4 < 3) continue;
    bytes[count++] = (uint8_t)(bits >> 16);
    bytes[count++] = (uint8_t)(bits >> 8);
    bytes[count++] = (uint8_t)bits;
  }
  return JS_NewArrayBuffer(ctx, bytes, count - padding, free_bytes, NULL, 0);
}

SYS_FUNCTION(f_base64_encode) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  struct sys_bytes bytes;
  SYS_ARGS("b", &bytes);
  size_t count = 0;
  char *text = js_malloc(ctx, (bytes.length + 2) / 3 * 4 + 1);
  if (!text) return JS_EXCEPTION;
  for (size_t i = 0; i < bytes.length; i += 3) {
    size_t left = bytes.length - i;
    uint32_t bits = (uint32_t)bytes.data[i] << 16;
    if (left > 1) bits |= (uint32_t)bytes.data[i + 1] << 8;
    if (left > 2) bits |= bytes.data[i + 2];
    text[count++] = digits[bits >> 18];
    text[count++] = digits[bits >> 12 & 63];
    text[count++] = left > 1 ? digits[bits >> 6 & 63] : '=';
    text[count++] = left > 2 ? digits[bits & 63] : '=';
  }
  JSValue result = JS_NewStringLen(ctx, text, count);
  js_free(ctx, text);
  return result;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("utf8Encode", 1, f_utf8_encode),
    JS_CFUNC_DEF("utf8EncodeInto", 3, f_utf8_encode_into),
    JS_CFUNC_DEF("utf8Decode", 3, f_utf8_decode),
    JS_CFUNC_DEF("jsonParse", 3, f_json_parse),
    JS_CFUNC_DEF("base64Decode", 1, f_base64_decode),
    JS_CFUNC_DEF("base64Encode", 3, f_base64_encode),
};
SYS_GROUP(sys_text_group, functions);
