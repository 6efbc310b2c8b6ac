/*
 * Memory of a clone that its template has never used: anonymous memory in the place of holes of the template's file.
 *
 * A write to a private mapping of a memfd first gives the memfd a page where it has a hole, and then copies it (shmem of
 * the kernel). The clone would pay twice for such memory, in its own control group, and the kernel cannot take the first
 * page back. Only memfds that are sealed against writes are looked at: templates, which never change.
 *
 * Memory that the guest gives back (free page reporting) is the other way round: QEMU punches a hole into the file, which the
 * seals forbid, and would stop there. Told that it is done, QEMU goes on to drop the clone's own copy (MADV_DONTNEED).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
  MEBIBYTE = 1024 * 1024,
  /* Nothing else that a VMM maps from a sealed file is so large. */
  LEAST_MEMORY = 64 * MEBIBYTE,
  /* Each costs the kernel two more areas, also in each fork. */
  LEAST_HOLE = MEBIBYTE / 8,
};

/* Leaves errno alone. */
static bool is_sealed(int file) {
  int before = errno, seals = fcntl(file, F_GET_SEALS);
  errno = before;
  return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

static void fill_holes(char *memory, off64_t size, int protection, int file, off64_t offset) {
  for (off64_t at = 0; at < size;) {
    off64_t hole = lseek64(file, offset + at, SEEK_HOLE);
    if (hole < 0 || hole >= offset + size) return;
    off64_t data = lseek64(file, hole, SEEK_DATA);
    if (data < 0 && errno != ENXIO) return;
    /* no data follows: the rest is a hole */
    off64_t end = data < 0 || data > offset + size ? size : data - offset;
    hole -= offset;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (end - hole >= LEAST_HOLE) syscall(SYS_mmap, memory + hole, end - hole, protection, flags, -1, 0L);
    at = end;
  }
}

static void *map(void *address, size_t size, int protection, int flags, int file, off64_t offset) {
  long result = syscall(SYS_mmap, address, size, protection, flags, file, offset);
  if (result < 0 && result > -4096) return MAP_FAILED;
  if (file < 0 || size < LEAST_MEMORY || (flags & MAP_PRIVATE) == 0 || (protection & PROT_WRITE) == 0) return (void *)result;
  if (is_sealed(file)) fill_holes((char *)result, (off64_t)size, protection, file, offset);
  return (void *)result;
}

__attribute__((visibility("default"))) void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
  return map(address, size, protection, flags, file, offset);
}

__attribute__((visibility("default"))) void *mmap64(void *address, size_t size, int protection, int flags, int file, off64_t offset) {
  return map(address, size, protection, flags, file, offset);
}

static int allocate(int file, int mode, off64_t offset, off64_t size) {
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0 && is_sealed(file)) return 0;
  return (int)syscall(SYS_fallocate, file, mode, offset, size);
}

__attribute__((visibility("default"))) int fallocate(int file, int mode, off_t offset, off_t size) {
  return allocate(file, mode, offset, size);
}

__attribute__((visibility("default"))) int fallocate64(int file, int mode, off64_t offset, off64_t size) {
  return allocate(file, mode, offset, size);
}
