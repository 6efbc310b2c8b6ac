/*
 * Tests of native/allocator.c below the engine: exits with 0, or with the line that failed on stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "allocator.h"

#define CHECK(condition)                                       \
  do {                                                         \
    if (!(condition)) {                                        \
      fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
      exit(1);                                                 \
    }                                                          \
  } while (0)
#define BLOCKS 4096

static const JSMallocFunctions *a;
static JSMallocState state = {.malloc_limit = 64u << 20};

static void fill(void *block, size_t size, unsigned seed) { memset(block, (int)(seed * 31 + 7) & 0xff, size); }

static int filled(const uint8_t *block, size_t size, unsigned seed) {
  for (size_t i = 0; i < size; i++)
    if (block[i] != ((seed * 31 + 7) & 0xff)) return 0;
  return 1;
}

static long resident_kilobytes(void) {
  long size = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file && fscanf(file, "%ld %ld", &size, &resident) == 2);
  fclose(file);
  return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void sizes_and_alignment(void) {
  for (size_t size = 1; size < 10000; size += size < 3000 ? 1 : 97) {
    uint8_t *block = a->js_malloc(&state, size);
    CHECK(block && (uintptr_t)block % 16 == 0);
    CHECK(a->js_malloc_usable_size(block) >= size);
    CHECK(a->js_malloc_usable_size(block) <= size + size / 2 + 16);
    fill(block, a->js_malloc_usable_size(block), 1);
    a->js_free(&state, block);
  }
  CHECK(a->js_malloc_usable_size(NULL) == 0);
  a->js_free(&state, NULL);
  CHECK(state.malloc_count == 0 && state.malloc_size == 0);
}

/* Random blocks in random order, each with its content: none overlaps another. */
static void many_blocks(void) {
  static struct {
    uint8_t *block;
    size_t size;
  } all[BLOCKS];
  unsigned random = 1;
  for (unsigned step = 0; step < 400000; step++) {
    random = random * 1664525 + 1013904223;
    unsigned i = (random >> 8) % BLOCKS;
    size_t size = (random >> 20) % (step % 64 ? 300 : 5000) + 1;
    if (all[i].block) CHECK(filled(all[i].block, all[i].size, i));
    if (all[i].block && step % 3 == 0) {
      a->js_free(&state, all[i].block);
      all[i].block = NULL;
      continue;
    }
    size_t kept = all[i].block ? (all[i].size < size ? all[i].size : size) : 0;
    all[i].block = a->js_realloc(&state, all[i].block, size);
    CHECK(all[i].block && filled(all[i].block, kept, i));
    all[i].size = size;
    fill(all[i].block, size, i);
  }
  for (unsigned i = 0; i < BLOCKS; i++) a->js_free(&state, all[i].block);
  CHECK(state.malloc_count == 0 && state.malloc_size == 0);
}

static void growth_and_shrinking(void) {
  uint8_t *block = a->js_realloc(&state, NULL, 1);
  size_t size = 1;
  fill(block, 1, 3);
  for (; size < 3000000; size = size * 3 / 2 + 1) {
    block = a->js_realloc(&state, block, size * 3 / 2 + 1);
    CHECK(block && (uintptr_t)block % 16 == 0 && filled(block, size, 3));
    fill(block, size * 3 / 2 + 1, 3);
    CHECK(state.malloc_size == a->js_malloc_usable_size(block) && state.malloc_count == 1);
  }
  for (; size > 8; size /= 3) {
    block = a->js_realloc(&state, block, size);
    CHECK(block && filled(block, size, 3));
    CHECK(a->js_malloc_usable_size(block) <= size + size / 2 + 16);
  }
  CHECK(a->js_realloc(&state, block, 0) == NULL);
  CHECK(a->js_realloc(&state, NULL, 0) == NULL);
  CHECK(state.malloc_count == 0 && state.malloc_size == 0);
}

static void reuse(void) {
  void *first = a->js_malloc(&state, 40), *second = a->js_malloc(&state, 40);
  a->js_free(&state, first);
  CHECK(a->js_malloc(&state, 40) == first);
  CHECK(a->js_realloc(&state, second, 48) == second);
  a->js_free(&state, first);
  a->js_free(&state, second);
}

static void limit(void) {
  static void *hoard[1u << 16];
  size_t before = state.malloc_limit;
  unsigned count = 0;
  state.malloc_limit = 1u << 20;
  while ((hoard[count] = a->js_malloc(&state, 64))) CHECK(++count < 1u << 16);
  CHECK(count == (1u << 20) / 64);
  CHECK(!a->js_realloc(&state, hoard[0], 100000));
  CHECK(a->js_malloc_usable_size(hoard[0]) == 64);
  CHECK(!a->js_malloc(&state, 1u << 20));
  CHECK(!a->js_malloc(&state, SIZE_MAX / 2));
  while (count > 0) a->js_free(&state, hoard[--count]);
  state.malloc_limit = before;
}

/* What one size has given back serves the others, and most of it the kernel. */
static void memory_comes_back(void) {
  static void *hoard[1u << 17];
  long before = resident_kilobytes();
  for (size_t size = 16; size <= 2048; size *= 2) {
    unsigned count = 0;
    for (; count < (16u << 20) / size && count < 1u << 17; count++) {
      hoard[count] = a->js_malloc(&state, size);
      CHECK(hoard[count]);
      fill(hoard[count], size, count);
    }
    while (count > 0) a->js_free(&state, hoard[--count]);
    CHECK(resident_kilobytes() < before + 2048);
  }
}

/* Beyond the arena, small blocks are libc's. */
static void arena_is_full(void) {
  static void *hoard[40000];
  unsigned count = 0;
  state.malloc_limit = 128u << 20;
  for (; count < 40000; count++) {
    hoard[count] = a->js_malloc(&state, 2048);
    CHECK(hoard[count]);
    memset(hoard[count], 0, 8);
  }
  void *small = a->js_malloc(&state, 20);
  CHECK(small && a->js_malloc_usable_size(small) >= 20);
  CHECK((small = a->js_realloc(&state, small, 30)) && (small = a->js_realloc(&state, small, 3000)));
  a->js_free(&state, small);
  while (count > 0) a->js_free(&state, hoard[--count]);
  CHECK(state.malloc_count == 0 && state.malloc_size == 0);
}

int main(void) {
  CHECK((a = blazar_allocator()) && a == blazar_allocator());
  sizes_and_alignment();
  many_blocks();
  growth_and_shrinking();
  reuse();
  limit();
  memory_comes_back();
  arena_is_full();
  return 0;
}
