/*
 * The engine's memory: blocks of a few sizes, in pages that hold one size each.
 *
 * The engine asks for a block's size at each malloc and free, and a guest without KVM pays for every instruction. Here
 * each malloc, free and size takes one or two dozen. The free blocks of a page are a list, the last freed first, so that
 * a cloned child writes to few pages. An empty page serves any size; beyond a few, the kernel gets empty pages back.
 *
 * Large blocks, and all blocks once the arena is full, come from libc and have their size in front. A few freed ones are
 * kept, because libc would unmap each at once. For one thread only.
 */
#include "allocator.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define UNIT 16 /* alignment of all blocks */
#define PAGE_SHIFT 12
#define PAGE_BYTES ((size_t)1 << PAGE_SHIFT)
#define ARENA_PAGES 16384 /* of address space; a page is touched when it is needed */
#define ARENA_BYTES (ARENA_PAGES * PAGE_BYTES)
#define KEPT_PAGES 32
#define MAX_SMALL 2048
#define KEPT_LARGE 6
#define MAX_KEPT ((size_t)17 * 4096) /* a frame of 64 KiB, and its size */
#define NONE 0 /* page 0 is never used */

/* Few sizes, because each touches a page of its own. The largest ones divide a page with little left over. */
static const uint16_t sizes[] = {16,  32,  48,  64,  80,  96,  112, 128, 160,  192, 224,
                                 256, 320, 384, 448, 512, 672, 816, 1024, 1360, 2048};
#define CLASSES (sizeof sizes / sizeof *sizes)

struct block {
  struct block *next;
};

/* Kept apart from the pages, so that a page that is not used is not touched. */
struct page {
  struct block *free;
  uint16_t used;
  uint16_t size;
  uint16_t next, previous; /* in the list of this size's pages with room, or of free pages */
};

struct large {
  size_t size;
  size_t capacity;
};

static char *arena;
static struct large *kept[KEPT_LARGE];
static struct page pages[ARENA_PAGES];
static uint16_t with_room[CLASSES]; /* the first page of each size's list */
static uint16_t free_page;
static unsigned free_pages, fresh_page = 1;
static uint8_t class_of[MAX_SMALL / UNIT + 1];

static inline size_t offset_of(const void *pointer) { return (size_t)((const char *)pointer - arena); }

static inline int is_small(const void *pointer) { return offset_of(pointer) < ARENA_BYTES; }

static inline struct page *page_of(const void *pointer) { return &pages[offset_of(pointer) >> PAGE_SHIFT]; }

static inline unsigned class_for(size_t size) { return class_of[(size + UNIT - 1) / UNIT]; }

static inline size_t size_of(const void *pointer) {
  return is_small(pointer) ? page_of(pointer)->size : ((const struct large *)pointer)[-1].size;
}

static int set_up(void) {
  for (size_t class = 0, unit = 0; class < CLASSES; class++)
    for (; unit * UNIT <= sizes[class]; unit++) class_of[unit] = (uint8_t)class;
  arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) return -1;
  madvise(arena, ARENA_BYTES, MADV_NOHUGEPAGE); /* a huge page of 2 MB is more than the engine needs in all */
  return 0;
}

static void link_page(uint16_t *list, uint16_t index) {
  pages[index].previous = NONE;
  pages[index].next = *list;
  if (*list != NONE) pages[*list].previous = index;
  *list = index;
}

static void unlink_page(uint16_t *list, uint16_t index) {
  struct page *page = &pages[index];
  if (page->next != NONE) pages[page->next].previous = page->previous;
  if (page->previous != NONE) pages[page->previous].next = page->next;
  else *list = page->next;
}

/* An empty page, or NONE when the arena is full. */
static uint16_t take_page(void) {
  uint16_t index = free_page;
  if (index == NONE) return fresh_page < ARENA_PAGES ? (uint16_t)fresh_page++ : NONE;
  unlink_page(&free_page, index);
  free_pages--;
  return index;
}

static void give_back(uint16_t index) {
  link_page(&free_page, index);
  if (++free_pages > KEPT_PAGES) madvise(arena + ((size_t)index << PAGE_SHIFT), PAGE_BYTES, MADV_DONTNEED);
}

/* Takes an empty page and puts it first in the list of a class. */
static int add_page(unsigned class) {
  uint16_t index = take_page();
  if (index == NONE) return -1;
  char *start = arena + ((size_t)index << PAGE_SHIFT);
  size_t size = sizes[class];
  struct block **end = &pages[index].free;
  for (char *each = start; each + size <= start + PAGE_BYTES; each += size) {
    *end = (struct block *)each;
    end = &(*end)->next;
  }
  *end = NULL;
  pages[index].size = (uint16_t)size;
  pages[index].used = 0;
  link_page(&with_room[class], index);
  return 0;
}

/* A kept block that fits and is not far too large, or NULL. */
static struct large *take_kept(size_t size) {
  for (unsigned i = 0; i < KEPT_LARGE; i++) {
    struct large *large = kept[i];
    if (!large || large->capacity < size || large->capacity / 4 > size) continue;
    kept[i] = NULL;
    return large;
  }
  return NULL;
}

static void release_large(struct large *large) {
  for (unsigned i = 0; i < KEPT_LARGE && large->capacity <= MAX_KEPT; i++) {
    if (kept[i]) continue;
    kept[i] = large;
    return;
  }
  free(large);
}

/*
 * Rounded up to whole pages, so that a kept block fits the next request of about the same size. Small blocks come here
 * when the arena is full, and then there are many of them.
 */
static size_t capacity_for(size_t size) {
  return size > MAX_KEPT || size <= MAX_SMALL ? size : ((sizeof(struct large) + size + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1)) - sizeof(struct large);
}

static void *allocate_large(size_t size) {
  struct large *large = take_kept(size);
  if (!large) {
    size_t capacity = capacity_for(size);
    large = size > SIZE_MAX / 2 ? NULL : malloc(sizeof *large + capacity);
    if (!large) return NULL;
    large->capacity = capacity;
  }
  large->size = size;
  return large + 1;
}

/* Only the first page of a list may be full. It stays in the list until another page is wanted. */
static void drop_full(uint16_t *list) {
  if (*list != NONE && !pages[*list].free) unlink_page(list, *list);
}

/* For when the first page of the class is full, or there is none. */
static __attribute__((noinline)) void *allocate_slowly(unsigned class) {
  uint16_t *list = &with_room[class];
  drop_full(list);
  if (*list == NONE && add_page(class) < 0) return allocate_large(sizes[class]);
  struct page *page = &pages[*list];
  struct block *block = page->free;
  page->free = block->next;
  page->used++;
  return block;
}

static inline void *allocate(size_t size) {
  if (__builtin_expect(size > MAX_SMALL, 0)) return allocate_large(size);
  unsigned class = class_for(size);
  struct page *page = &pages[with_room[class]];
  struct block *block = page->free; /* page NONE has no free blocks */
  if (__builtin_expect(!block, 0)) return allocate_slowly(class);
  page->free = block->next;
  page->used++;
  return block;
}

/* Moves a page between lists, because it was full before or is empty now. */
static __attribute__((noinline)) void rearrange(struct page *page, int was_full) {
  uint16_t *list = &with_room[class_for(page->size)], index = (uint16_t)(page - pages);
  if (was_full && *list != index) {
    drop_full(list);
    link_page(list, index);
  }
  if (page->used > 0 || (page->next == NONE && page->previous == NONE)) return; /* the last page of a class is kept */
  unlink_page(list, index);
  page->free = NULL;
  give_back(index);
}

static inline void release(void *pointer) {
  if (!is_small(pointer)) {
    release_large((struct large *)pointer - 1);
    return;
  }
  struct page *page = page_of(pointer);
  struct block *block = pointer, *next = page->free;
  block->next = next;
  page->free = block;
  if (--page->used == 0 || !next) rearrange(page, !next);
}

static size_t usable_size(const void *pointer) { return pointer ? size_of(pointer) : 0; }

static __attribute__((noinline)) void *js_allocate_slowly(JSMallocState *state, size_t size) {
  if (state->malloc_size + size > state->malloc_limit) return NULL;
  void *pointer = allocate(size);
  if (!pointer) return NULL;
  state->malloc_count++;
  state->malloc_size += size_of(pointer);
  return pointer;
}

/* Only the common case is here, so that it needs no stack frame. */
static void *js_allocate(JSMallocState *state, size_t size) {
  if (size > MAX_SMALL) return js_allocate_slowly(state, size);
  struct page *page = &pages[with_room[class_for(size)]];
  struct block *block = page->free;
  if (!block || state->malloc_size + size > state->malloc_limit) return js_allocate_slowly(state, size);
  page->free = block->next;
  page->used++;
  state->malloc_count++;
  state->malloc_size += page->size;
  return block;
}

static void js_release(JSMallocState *state, void *pointer) {
  if (!pointer) return;
  state->malloc_count--;
  state->malloc_size -= size_of(pointer);
  release(pointer);
}

static void *resize_large(void *pointer, size_t size) {
  struct large *large = (struct large *)pointer - 1;
  size_t capacity = capacity_for(size);
  if (capacity != large->capacity) {
    large = size > SIZE_MAX / 2 ? NULL : realloc(large, sizeof *large + capacity);
    if (!large) return NULL;
    large->capacity = capacity;
  }
  large->size = size;
  return large + 1;
}

static void *move(void *pointer, size_t old, size_t size) {
  void *moved = allocate(size);
  if (!moved) return NULL;
  memcpy(moved, pointer, old < size ? old : size);
  release(pointer);
  return moved;
}

static void *js_resize(JSMallocState *state, void *pointer, size_t size) {
  if (!pointer) return size == 0 ? NULL : js_allocate(state, size);
  if (size == 0) {
    js_release(state, pointer);
    return NULL;
  }
  size_t old = size_of(pointer);
  int small = is_small(pointer);
  if (small && size <= old && class_for(size) == class_for(old)) return pointer;
  if (state->malloc_size + size - old > state->malloc_limit && size > old) return NULL;
  void *moved = !small && size > MAX_SMALL ? resize_large(pointer, size) : move(pointer, old, size);
  if (!moved) return NULL;
  state->malloc_size += size_of(moved) - old;
  return moved;
}

const JSMallocFunctions *blazar_allocator(void) {
  static const JSMallocFunctions functions = {js_allocate, js_release, js_resize, usable_size};
  return arena || set_up() == 0 ? &functions : NULL;
}
