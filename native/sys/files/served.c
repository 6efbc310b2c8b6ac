/*
 * Files as a file server needs them: by the descriptor of a directory and one name, never by a path: openat(2),
 * statx(2), getdents64(2), readlinkat(2), fstatfs(2), lgetxattr(2).
 *
 * Results go into the caller's buffer in the byte order of 9P, so that a message is put together without copies. A name
 * is bytes: in JavaScript a string whose characters are below 256. No function follows a symlink.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/sys.h"

/* Also defined by newer libcs. */
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
#define STAT_BYTES 140 /* put_stat */
#define ENTRY_BYTES 24 /* qid, offset, type and length of a name: Treaddir's record without the name */
#define FACT_BYTES 24  /* put_facts */
#define NAME_BYTES 256
#define LISTING_BYTES 32768

static int stat_at(int directory, const char *name, int flags, struct statx *out) {
  const unsigned mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
  flags |= AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  return (int)syscall(SYS_statx, directory, name, flags, mask, out);
}

static uint8_t *put32(uint8_t *at, uint32_t value) {
  memcpy(at, &value, sizeof value); /* x86-64 and 9P are both little-endian */
  return at + sizeof value;
}

static uint8_t *put64(uint8_t *at, uint64_t value) {
  memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

static uint8_t *put_time(uint8_t *at, const struct statx_timestamp *time) {
  return put64(put64(at, (uint64_t)time->tv_sec), time->tv_nsec);
}

static uint64_t mount_of(const struct statx *st) { return st->stx_mask & STATX_MNT_ID ? st->stx_mnt_id : 0; }

/* Device, inode, mount: what identifies a file on this host, for now. */
static uint8_t *put_facts(uint8_t *at, const struct statx *st) {
  at = put64(at, makedev(st->stx_dev_major, st->stx_dev_minor));
  return put64(put64(at, st->stx_ino), mount_of(st));
}

/* The facts, then the fields of Rgetattr from mode to btime in their order. */
static void put_stat(uint8_t *at, const struct statx *st) {
  at = put_facts(at, st);
  at = put32(put32(put32(at, st->stx_mode), st->stx_uid), st->stx_gid);
  at = put64(put64(at, st->stx_nlink), makedev(st->stx_rdev_major, st->stx_rdev_minor));
  at = put64(put64(put64(at, st->stx_size), st->stx_blksize), st->stx_blocks);
  at = put_time(put_time(at, &st->stx_atime), &st->stx_mtime);
  put_time(put_time(at, &st->stx_ctime), &st->stx_btime);
}

/* The bytes of a name. UTF-8 of the characters U+0080 to U+00FF has two bytes each. */
static int take_name(JSContext *ctx, const char *utf8, char name[NAME_BYTES]) {
  size_t length = 0;
  for (const uint8_t *at = (const uint8_t *)utf8; *at; at++) {
    if (length == NAME_BYTES - 1 || *at > 0xc3) {
      JS_ThrowRangeError(ctx, "a name has at most 255 characters, each below 256");
      return -1;
    }
    uint8_t byte = *at;
    if (byte >= 0x80) byte = (uint8_t)((byte & 3) << 6 | (*++at & 0x3f));
    name[length++] = (char)byte;
  }
  name[length] = 0;
  return 0;
}

SYS_FUNCTION(f_bytes_to_name) {
  struct sys_bytes bytes;
  char utf8[2 * NAME_BYTES];
  size_t length = 0;
  SYS_ARGS("b", &bytes);
  if (bytes.length >= NAME_BYTES) return sys_failure(ctx, ENAMETOOLONG);
  for (size_t i = 0; i < bytes.length; i++) {
    uint8_t byte = bytes.data[i];
    if (byte == 0 || byte == '/') return sys_failure(ctx, EINVAL);
    if (byte < 0x80)
      utf8[length++] = (char)byte;
    else
      utf8[length++] = (char)(0xc0 | byte >> 6), utf8[length++] = (char)(0x80 | (byte & 0x3f));
  }
  return JS_NewStringLen(ctx, utf8, length);
}

SYS_FUNCTION(f_open_entry) {
  int directory;
  const char *utf8;
  uint32_t flags;
  char name[NAME_BYTES];
  SYS_ARGS("fsu", &directory, &utf8, &flags);
  if (take_name(ctx, utf8, name) < 0) return JS_EXCEPTION;
  if (strchr(name, '/') || !strcmp(name, "..")) return sys_failure(ctx, EINVAL);
  return sys_result(ctx, openat(directory, name, (int)flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY));
}

SYS_FUNCTION(f_stat_entry) {
  int fd;
  struct sys_bytes out;
  struct statx st;
  SYS_ARGS("fb", &fd, &out);
  if (out.length < STAT_BYTES) return sys_failure(ctx, ERANGE);
  if (stat_at(fd, "", AT_EMPTY_PATH, &st) < 0) return sys_result(ctx, -1);
  put_stat(out.data, &st);
  return sys_result(ctx, 0);
}

SYS_FUNCTION(f_read_link_entry) {
  int fd;
  struct sys_bytes out;
  SYS_ARGS("fb", &fd, &out);
  return sys_result(ctx, readlinkat(fd, "", (char *)out.data, out.length));
}

SYS_FUNCTION(f_statfs_entry) {
  int fd;
  struct sys_bytes out;
  struct statfs fs;
  SYS_ARGS("fb", &fd, &out);
  if (out.length < 60) return sys_failure(ctx, ERANGE);
  if (fstatfs(fd, &fs) < 0) return sys_result(ctx, -1);
  uint8_t *at = put32(put32(out.data, (uint32_t)fs.f_type), (uint32_t)fs.f_bsize);
  at = put64(put64(put64(at, fs.f_blocks), fs.f_bfree), fs.f_bavail);
  at = put64(put64(at, fs.f_files), fs.f_ffree);
  uint64_t id;
  memcpy(&id, &fs.f_fsid, sizeof id);
  put32(put64(at, id), (uint32_t)fs.f_namelen);
  return sys_result(ctx, 0);
}

struct kernel_entry {
  uint64_t ino;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

static int is_parent(const char *name) { return !strcmp(name, ".."); }

/*
 * One record of Rreaddir, with the file's facts beside it. The path of the qid is left to the caller, who alone knows it.
 * An entry that has gone meanwhile is left out: 0.
 */
static size_t put_entry(int directory, const struct kernel_entry *entry, uint8_t *out, uint8_t *facts) {
  struct statx st;
  size_t length = strlen(entry->name);
  if (is_parent(entry->name))
    memset(&st, 0, sizeof st); /* it may be outside of the share */
  else if (stat_at(directory, entry->name, 0, &st) < 0)
    return 0;
  put_facts(facts, &st);
  out[0] = entry->type == DT_DIR ? 0x80 : entry->type == DT_LNK ? 0x02 : 0;
  uint8_t *at = put64(put32(out + 1, 0), 0);
  at = put64(at, (uint64_t)entry->offset);
  *at++ = entry->type;
  *at++ = (uint8_t)length;
  *at++ = (uint8_t)(length >> 8);
  memcpy(at, entry->name, length);
  return ENTRY_BYTES + length;
}

SYS_FUNCTION(f_list_entries) {
  int fd;
  uint32_t low, high; /* a position may be a hash of all 64 bits */
  struct sys_bytes out, facts;
  _Alignas(struct kernel_entry) static uint8_t listing[LISTING_BYTES];
  SYS_ARGS("fuubb", &fd, &low, &high, &out, &facts);
  if (lseek(fd, (off_t)((uint64_t)high << 32 | low), SEEK_SET) < 0) return sys_result(ctx, -1);
  size_t wanted = out.length < LISTING_BYTES ? out.length : LISTING_BYTES;
  size_t used = 0, described = 0;
  int full = 0;
  while (used == 0) { /* no records mean the end, so a directory whose entries all go meanwhile is read on */
    long size = syscall(SYS_getdents64, fd, listing, wanted < 512 ? 512 : wanted);
    if (size < 0) return sys_result(ctx, -1);
    if (size == 0) break;
    for (long at = 0; at < size && !full;) {
      const struct kernel_entry *entry = (const void *)(listing + at);
      at += entry->size;
      full = used + ENTRY_BYTES + strlen(entry->name) > out.length || described + FACT_BYTES > facts.length;
      if (full) break;
      size_t length = put_entry(fd, entry, out.data + used, facts.data + described);
      if (length == 0) continue;
      used += length;
      described += FACT_BYTES;
    }
    if (full && used == 0) return sys_failure(ctx, EINVAL);
  }
  return sys_pair(ctx, JS_NewInt64(ctx, (int64_t)used), JS_NewInt64(ctx, (int64_t)(described / FACT_BYTES)));
}

/* There is no call that takes a descriptor without access to the file, so the process goes to its directory. */
SYS_FUNCTION(f_get_entry_xattr) {
  int directory;
  const char *utf8, *attribute;
  struct sys_bytes out;
  char name[NAME_BYTES];
  SYS_ARGS("fssb", &directory, &utf8, &attribute, &out);
  if (take_name(ctx, utf8, name) < 0) return JS_EXCEPTION;
  if (strchr(name, '/') || is_parent(name)) return sys_failure(ctx, EINVAL);
  if (fchdir(directory) < 0) return sys_result(ctx, -1);
  ssize_t size = *attribute ? lgetxattr(name, attribute, out.data, out.length)
                            : llistxattr(name, (char *)out.data, out.length);
  return sys_result(ctx, size);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("bytesToName", 3, f_bytes_to_name),      JS_CFUNC_DEF("openEntry", 3, f_open_entry),
    JS_CFUNC_DEF("statEntry", 4, f_stat_entry),           JS_CFUNC_DEF("readLinkEntry", 4, f_read_link_entry),
    JS_CFUNC_DEF("statfsEntry", 4, f_statfs_entry),       JS_CFUNC_DEF("listEntries", 9, f_list_entries),
    JS_CFUNC_DEF("getEntryXattr", 6, f_get_entry_xattr),
};
SYS_GROUP(sys_served_group, functions);
