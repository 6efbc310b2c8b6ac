/*
 * Clock and entropy: clock_settime(2), getrandom(2), random(4).
 *
 * A clone of a template wakes with the template's clock and random pool. Both must be set anew before a pod runs in it.
 */
#include <errno.h>
#include <linux/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>

#include "sys/sys.h"

#define MAX_ENTROPY 4096

SYS_FUNCTION(f_set_clock) {
  int64_t seconds, nanoseconds;
  SYS_ARGS("nn", &seconds, &nanoseconds);
  struct timespec time = {(time_t)seconds, (long)nanoseconds};
  return sys_result(ctx, clock_settime(CLOCK_REALTIME, &time));
}

SYS_FUNCTION(f_getrandom) {
  struct sys_bytes bytes;
  ssize_t count;
  SYS_ARGS("b", &bytes);
  do {
    count = getrandom(bytes.data, bytes.length, 0);
  } while (count < 0 && errno == EINTR);
  return sys_result(ctx, count);
}

SYS_FUNCTION(f_add_entropy) {
  int fd;
  struct sys_bytes bytes;
  int64_t bits;
  SYS_ARGS("fbn", &fd, &bytes, &bits);
  if (bytes.length > MAX_ENTROPY) return JS_ThrowRangeError(ctx, "at most %d bytes at once", MAX_ENTROPY);
  if (bits > (int64_t)bytes.length * 8) return JS_ThrowRangeError(ctx, "a byte holds 8 bits");
  struct rand_pool_info *pool = malloc(sizeof *pool + MAX_ENTROPY);
  if (!pool) return JS_ThrowOutOfMemory(ctx);
  pool->entropy_count = (int)bits;
  pool->buf_size = (int)bytes.length;
  memcpy(pool->buf, bytes.data, bytes.length);
  JSValue result = sys_result(ctx, ioctl(fd, RNDADDENTROPY, pool));
  free(pool);
  return result;
}

SYS_FUNCTION(f_reseed) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, ioctl(fd, RNDRESEEDCRNG));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("setClock", 2, f_set_clock),
    JS_CFUNC_DEF("getrandom", 3, f_getrandom),
    JS_CFUNC_DEF("addEntropy", 5, f_add_entropy),
    JS_CFUNC_DEF("reseed", 1, f_reseed),
};
SYS_GROUP(sys_clock_group, functions);
