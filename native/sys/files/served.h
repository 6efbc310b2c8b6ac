/*
 * Names and descriptors, for the files with which a file server works: served.c, changed.c and locked.c.
 */
#ifndef BLAZAR_SERVED_H
#define BLAZAR_SERVED_H

#include "sys/sys.h"

#define NAME_BYTES 256
#define LINK_BYTES 32

/*
 * The bytes of a name. UTF-8 of the characters U+0080 to U+00FF has two bytes each. 0, or EINVAL for a name that leads
 * elsewhere ("..", a slash), or -1 with an exception.
 */
int sys_take_name(JSContext *ctx, const char *utf8, char name[NAME_BYTES]);

/* The path of a descriptor's own file: it leads to exactly that file, whatever its name is by now (proc(5)). */
const char *sys_link_of(int fd, char path[LINK_BYTES]);

#define SYS_NAME(utf8, name)                            \
  do {                                                  \
    const int wrong = sys_take_name(ctx, utf8, name);   \
    if (wrong < 0) return JS_EXCEPTION;                 \
    if (wrong > 0) return sys_failure(ctx, wrong);      \
  } while (0)

#endif
