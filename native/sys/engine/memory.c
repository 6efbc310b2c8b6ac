/*
 * Makes the pages of this process present ahead of their use: madvise(2) with MADV_POPULATE_*; maps and pagemap of proc(5).
 *
 * After a clone, the first write to each page is a fault and a copy, in the child and in its parent. The first use of each
 * page of the program is a fault, too. This takes the faults while nobody waits for them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sys/sys.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#define PAGE_BYTES 4096UL
#define PRESENT (UINT64_C(1) << 63)
#define BATCH 512

/* Pages that are not present stay so: the engine's arena is far larger than the part in use. */
static void populate_present(int pagemap, uintptr_t start, uintptr_t end) {
  uint64_t entries[BATCH];
  while (start < end) {
    size_t pages = (end - start) / PAGE_BYTES, count = pages < BATCH ? pages : BATCH;
    ssize_t got = pread(pagemap, entries, count * sizeof *entries, (off_t)(start / PAGE_BYTES * sizeof *entries));
    if (got < (ssize_t)sizeof *entries) return;
    count = (size_t)got / sizeof *entries;
    for (size_t i = 0, run; i < count; i += run + 1) {
      for (run = 0; i + run < count && entries[i + run] & PRESENT; run++);
      if (run) madvise((void *)(start + i * PAGE_BYTES), run * PAGE_BYTES, MADV_POPULATE_WRITE);
    }
    start += count * PAGE_BYTES;
  }
}

/* Handles one line of maps: `start-end perms …`. */
static void populate_mapping(int pagemap, const char *line) {
  char *rest;
  uintptr_t start = strtoul(line, &rest, 16);
  if (*rest != '-') return;
  uintptr_t end = strtoul(rest + 1, &rest, 16);
  if (strlen(rest) < 5 || rest[4] != 'p') return;
  if (rest[2] == 'w')
    populate_present(pagemap, start, end);
  else if (rest[1] == 'r') /* the kernel refuses it for its own mappings, which cause no faults */
    madvise((void *)start, end - start, MADV_POPULATE_READ);
}

SYS_FUNCTION(f_populate_memory) {
  char line[512];
  SYS_UNUSED;
  int pagemap = sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
  if (pagemap < 0) return sys_result(ctx, -1);
  FILE *maps = fopen("/proc/self/maps", "re");
  if (!maps) {
    close(pagemap);
    return sys_result(ctx, -1);
  }
  while (fgets(line, sizeof line, maps)) populate_mapping(pagemap, line);
  fclose(maps);
  close(pagemap);
  return JS_NewInt32(ctx, 0);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("populateMemory", 0, f_populate_memory),
};
SYS_GROUP(sys_memory_group, functions);
