/*
 * Three layers with everything that an image of layers may get wrong, and a listing of what a tree shows.
 *
 *     layers make DIRECTORY COUNT    makes DIRECTORY/0 (lowest) to 2, with a directory of COUNT files
 *     layers list DIRECTORY          prints a line for each entry: mode, owner, size, times, links, attributes, content
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define OK(call) do { if ((call) < 0) { fprintf(stderr, "%s:%d: %s: %m\n", path, __LINE__, #call); exit(1); } } while (0)

static char path[PATH_MAX];

static const char *at(const char *name) { snprintf(path, sizeof path, "%s", name); return path; }

static void file(const char *name, const void *data, size_t size, mode_t mode) {
	int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	OK(fd); OK(write(fd, data, size)); OK(fchmod(fd, mode)); OK(close(fd));
}
static void text(const char *name, const char *data) { file(name, data, strlen(data), 0644); }
static void directory(const char *name, mode_t mode) { OK(mkdir(at(name), 0700)); OK(chmod(name, mode)); }
static void node(const char *name, mode_t mode, dev_t dev) { OK(mknod(at(name), mode, dev)); OK(chmod(name, mode & 07777)); }
static void attribute(const char *name, const char *key, const void *value, size_t size) { OK(lsetxattr(at(name), key, value, size, 0)); }
static void at_time(const char *name, time_t seconds, long nanoseconds) {
	struct timespec times[2] = { { seconds, nanoseconds }, { seconds, nanoseconds } };
	OK(utimensat(AT_FDCWD, at(name), times, AT_SYMLINK_NOFOLLOW));
}

static void names(void) {
	char name[300] = "0/names/";
	directory("0/names", 0755);
	memset(name + 8, 'n', 255);
	text(name, "255 bytes");
	text("0/names/\xff\xfe\x80", "not UTF-8");
	text("0/names/new\nline", "x");
	text("0/names/ sp\\ace:,", "x");
	text("0/names/...", "x");
	char target[4001];
	memset(target, 't', 4000);
	target[4000] = 0;
	OK(symlink(target, at("0/names/link")));
	at_time("0/names/link", 1111111111, 1);
}

static void attributes(void) {
	static char data[3000];
	memset(data, 'v', sizeof data);
	directory("0/x", 0755);
	text("0/x/user", "x");
	attribute("0/x/user", "user.note", "hello", 5);
	attribute("0/x/user", "user.none", "", 0);
	attribute("0/x/user", "user.long", data, sizeof data);
	char name[32];
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof name, "0/x/shared%d", i);
		text(name, "x");
		attribute(name, "user.same", "value of many", 13);
	}
	uint32_t capability[5] = { 0x02000001, 1 << 10, 0, 0, 0 };
	file("0/x/capable", "x", 1, 0755);
	attribute("0/x/capable", "security.capability", capability, sizeof capability);
	struct { uint32_t version; struct { uint16_t tag, permission; uint32_t id; } entries[5]; } acl = { 2,
		{ { 1, 6, ~0u }, { 2, 4, 1000 }, { 4, 4, ~0u }, { 16, 4, ~0u }, { 32, 0, ~0u } } };
	text("0/x/acl", "x");
	attribute("0/x/acl", "system.posix_acl_access", &acl, sizeof acl);
	/* an overlay's own attributes, escaped or a user's: a guest's overlay must not obey them */
	text("0/x/escaped", "x");
	attribute("0/x/escaped", "trusted.overlay.overlay.metacopy", "", 0);
	directory("0/x/opaque", 0755);
	text("0/x/opaque/inside", "x");
	attribute("0/x/opaque", "user.overlay.opaque", "y", 1);
}

static void files(void) {
	directory("0/owner", 01777);
	file("0/owner/secret", "s", 1, 0);
	file("0/owner/setuid", "s", 1, 0755);
	OK(lchown(at("0/owner/setuid"), 4000000000u, 3000000000u));
	OK(chmod(path, 06755));
	directory("0/size", 0755);
	static char data[(1 << 20) + 5];
	for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 2654435761u >> 13);
	size_t sizes[] = { 0, 1, 4095, 4096, 4097, 65536, 1 << 20, sizeof data };
	char name[32];
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		snprintf(name, sizeof name, "0/size/%zu", sizes[i]);
		file(name, data, sizes[i], 0644);
	}
	int fd = open(at("0/size/sparse"), O_WRONLY | O_CREAT, 0644);
	OK(fd); OK(pwrite(fd, "mid", 3, 40 << 20)); OK(ftruncate(fd, 64 << 20)); OK(pwrite(fd, "end", 3, (64 << 20) - 3)); OK(close(fd));
	directory("0/hard", 0755);
	directory("0/hard/below", 0755);
	text("0/hard/a", "linked");
	OK(link("0/hard/a", at("0/hard/b")));
	OK(link("0/hard/a", at("0/hard/below/c")));
	directory("0/dev", 0755);
	node("0/dev/null", S_IFCHR | 0666, makedev(1, 3));
	node("0/dev/disk", S_IFBLK | 0600, makedev(259, 300000));
	node("0/dev/fifo", S_IFIFO | 0644, 0);
	node("0/dev/socket", S_IFSOCK | 0755, 0);
	directory("0/time", 0755);
	text("0/time/exact", "x"); at_time("0/time/exact", 1234567890, 123456789);
	text("0/time/old", "x"); at_time("0/time/old", -5, 999999999);
	text("0/time/late", "x"); at_time("0/time/late", 4500000000, 7);
}

/* what only a stack of layers has */
static void stack(void) {
	for (int i = 0; i < 3; i++) {
		char name[32];
		snprintf(name, sizeof name, "%d/merged", i);
		directory(name, 0755);
		snprintf(name, sizeof name, "%d/merged/of-%d", i, i);
		text(name, "x");
		snprintf(name, sizeof name, "%d/merged/all", i);
		text(name, i == 2 ? "the topmost" : "hidden");
	}
	text("0/gone", "x");
	node("1/gone", S_IFCHR, makedev(0, 0));
	directory("0/gone-too", 0755);
	text("0/gone-too/inside", "x");
	node("2/gone-too", S_IFCHR, makedev(0, 0));
	directory("0/opaque", 0755); text("0/opaque/old", "x");
	directory("1/opaque", 0700); text("1/opaque/new", "x");
	attribute("1/opaque", "trusted.overlay.opaque", "y", 1);
	directory("0/turned", 0755); text("0/turned/inside", "x");
	text("2/turned", "a file now");
	at_time("2/merged", 77, 7);
	OK(chmod(at("2"), 0751));
	at_time("2", 99, 9);
}

static void make(const char *where, int count) {
	OK(mkdir(at(where), 0755)); OK(chdir(where));
	umask(0);
	for (int i = 0; i < 3; i++) { char name[2] = { (char)('0' + i), 0 }; directory(name, 0755); }
	names(); attributes(); files();
	directory("0/huge", 0755);
	for (int i = 0; i < count; i++) {
		char name[64];
		snprintf(name, sizeof name, "0/huge/one-of-very-many-%06d", i);
		int fd = open(at(name), O_WRONLY | O_CREAT, 0644);
		OK(fd); OK(close(fd));
	}
	stack();
}

static uint64_t hash(uint64_t h, const void *data, size_t size) {
	for (size_t i = 0; i < size; i++) h = (h ^ ((const unsigned char *)data)[i]) * 1099511628211u;
	return h;
}
#define START 14695981039346656037u

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* trusted.* is left out of images: nobody but the host's root can see it */
static void list_attributes(void) {
	static char keys[65536], value[65536];
	char *sorted[256];
	int count = 0;
	ssize_t size = llistxattr(path, keys, sizeof keys);
	for (char *key = keys; size > 0 && key < keys + size; key += strlen(key) + 1)
		if (strncmp(key, "trusted.", 8) != 0 && count < 256) sorted[count++] = key;
	qsort(sorted, (size_t)count, sizeof *sorted, by_text);
	for (int i = 0; i < count; i++) {
		ssize_t length = lgetxattr(path, sorted[i], value, sizeof value);
		OK(length);
		printf(" %s=%zd:%llx", sorted[i], length, (unsigned long long)hash(START, value, (size_t)length));
	}
}

static uint64_t content(const struct stat *s) {
	static char data[1 << 20];
	uint64_t h = START;
	if (S_ISLNK(s->st_mode)) {
		ssize_t length = readlink(path, data, sizeof data);
		OK(length);
		return hash(h, data, (size_t)length);
	}
	if (!S_ISREG(s->st_mode)) return 0;
	int fd = open(path, O_RDONLY);
	OK(fd);
	for (ssize_t n; (n = read(fd, data, sizeof data)) != 0;) { OK(n); h = hash(h, data, (size_t)n); }
	close(fd);
	return h;
}

#define LINKS 64
static struct { dev_t device; ino_t inode; } links[LINKS];

static int link_number(const struct stat *s) {
	if (S_ISDIR(s->st_mode) || s->st_nlink < 2) return 0;
	for (int i = 0; i < LINKS; i++) {
		if (links[i].inode == 0) { links[i].device = s->st_dev; links[i].inode = s->st_ino; }
		if (links[i].inode == s->st_ino && links[i].device == s->st_dev) return i + 1;
	}
	return -1;
}

static void list(size_t root) {
	struct stat s;
	OK(lstat(path, &s));
	int is_directory = S_ISDIR(s.st_mode);
	printf("%s %o %u:%u %lld %lld.%09ld", path[root] ? path + root : "/", s.st_mode, s.st_uid, s.st_gid,
		is_directory ? 0 : (long long)s.st_size, (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
	int special = S_ISCHR(s.st_mode) || S_ISBLK(s.st_mode);
	printf(" %u:%u %u/%d %llx", special ? major(s.st_rdev) : 0, special ? minor(s.st_rdev) : 0,
		is_directory ? 0 : (unsigned)s.st_nlink, link_number(&s), (unsigned long long)content(&s));
	list_attributes();
	putchar('\n');
	if (!is_directory) return;
	struct dirent **found;
	int count = scandir(path, &found, NULL, by_name);
	OK(count);
	size_t length = strlen(path);
	for (int i = 0; i < count; i++) {
		if (strcmp(found[i]->d_name, ".") != 0 && strcmp(found[i]->d_name, "..") != 0) {
			snprintf(path + length, sizeof path - length, "/%s", found[i]->d_name);
			list(root);
			path[length] = 0;
		}
		free(found[i]);
	}
	free(found);
}

int main(int argc, char **argv) {
	if (argc == 4 && strcmp(argv[1], "make") == 0) make(argv[2], atoi(argv[3]));
	else if (argc == 3 && strcmp(argv[1], "list") == 0) { at(argv[2]); list(strlen(argv[2])); }
	else return 2;
	return 0;
}
