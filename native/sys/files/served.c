/*
 * Files as a file server reads them: by the descriptor of a directory and one name, or by a descriptor that gives no access
 * (O_PATH): openat(2), statx(2), getdents64(2), readlinkat(2), fstatfs(2).
 *
 * Results go into the caller's buffer as the kernel's FUSE client wants them (linux/fuse.h), so that a message is put
 * together without copies. A name is bytes: in JavaScript a string whose characters are below 256. Nothing follows a symlink.
 */
#include "sys/files/served.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Also defined by newer libcs. */
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
#define LISTING_BYTES 32768
#define PREFIX_SHIFT 48

/* What a caller gets of one file. */
struct described {
  uint64_t device, inode, mount;
  struct fuse_attr attr;
  int64_t birth_seconds;
  uint32_t birth_nanoseconds, unused;
};

static int stat_at(int directory, const char *name, int flags, struct statx *out) {
  const unsigned mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
  flags |= AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  return (int)syscall(SYS_statx, directory, name, flags, mask, out);
}

/* FUSE has 32 bits for a device number, in the kernel's own encoding (new_encode_dev). */
static uint32_t encode_device(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}

static struct fuse_attr attr_of(const struct statx *st) {
  return (struct fuse_attr){
      .ino = st->stx_ino,
      .size = st->stx_size,
      .blocks = st->stx_blocks,
      .atime = (uint64_t)st->stx_atime.tv_sec,
      .mtime = (uint64_t)st->stx_mtime.tv_sec,
      .ctime = (uint64_t)st->stx_ctime.tv_sec,
      .atimensec = st->stx_atime.tv_nsec,
      .mtimensec = st->stx_mtime.tv_nsec,
      .ctimensec = st->stx_ctime.tv_nsec,
      .mode = st->stx_mode,
      .nlink = st->stx_nlink,
      .uid = st->stx_uid,
      .gid = st->stx_gid,
      .rdev = encode_device(st->stx_rdev_major, st->stx_rdev_minor),
      .blksize = st->stx_blksize,
  };
}

static void describe(void *out, const struct statx *st) {
  const struct described all = {
      .device = makedev(st->stx_dev_major, st->stx_dev_minor),
      .inode = st->stx_ino,
      .mount = st->stx_mask & STATX_MNT_ID ? st->stx_mnt_id : 0,
      .attr = attr_of(st),
      .birth_seconds = st->stx_btime.tv_sec,
      .birth_nanoseconds = st->stx_btime.tv_nsec,
  };
  memcpy(out, &all, sizeof all);
}

int sys_take_name(JSContext *ctx, const char *utf8, char name[NAME_BYTES]) {
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
  return strchr(name, '/') || !strcmp(name, "..") ? EINVAL : 0;
}

const char *sys_link_of(int fd, char path[LINK_BYTES]) {
  snprintf(path, LINK_BYTES, "/proc/self/fd/%d", fd);
  return path;
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
  uint32_t flags, mode = 0;
  char name[NAME_BYTES];
  SYS_ARGS("fsu|u", &directory, &utf8, &flags, &mode);
  SYS_NAME(utf8, name);
  return sys_result(ctx, openat(directory, name, (int)flags | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, mode));
}

SYS_FUNCTION(f_reopen) {
  int fd;
  uint32_t flags;
  char path[LINK_BYTES];
  SYS_ARGS("fu", &fd, &flags);
  return sys_result(ctx, open(sys_link_of(fd, path), (int)flags | O_CLOEXEC | O_NOCTTY));
}

SYS_FUNCTION(f_stat_entry) {
  int fd;
  struct sys_bytes out;
  struct statx st;
  SYS_ARGS("fb", &fd, &out);
  if (out.length < sizeof(struct described)) return sys_failure(ctx, ERANGE);
  if (stat_at(fd, "", AT_EMPTY_PATH, &st) < 0) return sys_result(ctx, -1);
  describe(out.data, &st);
  return sys_result(ctx, 0);
}

SYS_FUNCTION(f_stat_name) {
  int directory;
  const char *utf8;
  struct sys_bytes out;
  struct statx st;
  char name[NAME_BYTES];
  SYS_ARGS("fsb", &directory, &utf8, &out);
  SYS_NAME(utf8, name);
  if (out.length < sizeof(struct described)) return sys_failure(ctx, ERANGE);
  if (stat_at(directory, name, 0, &st) < 0) return sys_result(ctx, -1);
  describe(out.data, &st);
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
  if (out.length < sizeof(struct fuse_kstatfs)) return sys_failure(ctx, ERANGE);
  if (fstatfs(fd, &fs) < 0) return sys_result(ctx, -1);
  const struct fuse_kstatfs st = {
      .blocks = fs.f_blocks,
      .bfree = fs.f_bfree,
      .bavail = fs.f_bavail,
      .files = fs.f_files,
      .ffree = fs.f_ffree,
      .bsize = (uint32_t)fs.f_bsize,
      .namelen = (uint32_t)fs.f_namelen,
      .frsize = (uint32_t)fs.f_frsize,
  };
  memcpy(out.data, &st, sizeof st);
  return sys_result(ctx, 0);
}

SYS_FUNCTION(f_is_mount_readonly) {
  int fd;
  struct statfs fs;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, fstatfs(fd, &fs) < 0 ? -1 : (fs.f_flags & ST_RDONLY) != 0);
}

struct kernel_entry {
  uint64_t ino;
  int64_t offset;
  uint16_t size;
  uint8_t type;
  char name[];
};

/* Where the records of a listing go. */
struct listing {
  int directory;
  int plus; /* with what each file is */
  uint64_t prefix;
  struct sys_bytes out, facts;
  size_t used, described;
};

static size_t put_name(uint8_t *out, const struct kernel_entry *entry, size_t length, uint64_t inode) {
  const struct fuse_dirent record = {
      .ino = inode, .off = (uint64_t)entry->offset, .namelen = (uint32_t)length, .type = entry->type};
  const size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
  memset(out, 0, size);
  memcpy(out, &record, FUSE_NAME_OFFSET);
  memcpy(out + FUSE_NAME_OFFSET, entry->name, length);
  return size;
}

/* 0 if the record does not fit. An entry that has gone meanwhile takes no room. */
static int put_entry(struct listing *list, const struct kernel_entry *entry) {
  struct statx st;
  const size_t length = strlen(entry->name);
  const size_t head = list->plus ? sizeof(struct fuse_entry_out) : 0;
  const size_t size = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
  uint8_t *out = list->out.data + list->used;
  if (list->used + size > list->out.length) return 0;
  if (list->plus) {
    uint8_t *facts = list->facts.data + list->described;
    if (list->described + sizeof(struct described) > list->facts.length) return 0;
    memset(out, 0, head);
    const int dots = !strcmp(entry->name, ".") || !strcmp(entry->name, "..");
    if (dots)
      memset(facts, 0, sizeof(struct described)); /* the guest knows them, and ".." may be outside of the share */
    else if (stat_at(list->directory, entry->name, 0, &st) < 0)
      return 1;
    else
      describe(facts, &st);
    list->described += sizeof(struct described);
  }
  const uint64_t inode = entry->ino & ((UINT64_C(1) << PREFIX_SHIFT) - 1);
  put_name(out + head, entry, length, inode | list->prefix << PREFIX_SHIFT);
  list->used += size;
  return 1;
}

SYS_FUNCTION(f_list_entries) {
  struct listing list = {0};
  uint32_t low, high, prefix; /* a position may be a hash of all 64 bits */
  _Alignas(struct kernel_entry) static uint8_t listing[LISTING_BYTES];
  SYS_ARGS("fuuutbb", &list.directory, &low, &high, &prefix, &list.plus, &list.out, &list.facts);
  list.prefix = prefix;
  if (lseek(list.directory, (off_t)((uint64_t)high << 32 | low), SEEK_SET) < 0) return sys_result(ctx, -1);
  size_t wanted = list.out.length < LISTING_BYTES ? list.out.length : LISTING_BYTES;
  int full = 0;
  while (list.used == 0) { /* no records mean the end, so a directory whose entries all go meanwhile is read on */
    long size = syscall(SYS_getdents64, list.directory, listing, wanted < 512 ? 512 : wanted);
    if (size < 0) return sys_result(ctx, -1);
    if (size == 0) break;
    for (long at = 0; at < size && !full;) {
      const struct kernel_entry *entry = (const void *)(listing + at);
      at += entry->size;
      full = !put_entry(&list, entry);
    }
    if (full && list.used == 0) return sys_failure(ctx, EINVAL);
  }
  return sys_result(ctx, (int64_t)list.used);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("bytesToName", 3, f_bytes_to_name),    JS_CFUNC_DEF("openEntry", 4, f_open_entry),
    JS_CFUNC_DEF("reopen", 2, f_reopen),                JS_CFUNC_DEF("statEntry", 4, f_stat_entry),
    JS_CFUNC_DEF("statName", 5, f_stat_name),           JS_CFUNC_DEF("readLinkEntry", 4, f_read_link_entry),
    JS_CFUNC_DEF("isMountReadonly", 1, f_is_mount_readonly),
    JS_CFUNC_DEF("statfsEntry", 4, f_statfs_entry),     JS_CFUNC_DEF("listEntries", 11, f_list_entries),
};
SYS_GROUP(sys_served_group, functions);
