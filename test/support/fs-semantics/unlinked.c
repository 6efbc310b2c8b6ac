/* unlink(2), open(2) O_TMPFILE: files that have no name any more, or none yet. */
#include "check.h"

#include <stdio.h>
#include <sys/xattr.h>

/* Open for reading and writing, without a name. */
static int unlinked_file(const char *text)
{
    int fd = make_file("file", text, 0644);
    return fd >= 0 && unlink("file") == 0 ? fd : -1;
}

static const char *reads_and_writes(void)
{
    int fd = unlinked_file("data");
    char text[16];
    REQUIRE(pwrite(fd, "more", 4, 4) == 4);
    REQUIRE(pread(fd, text, sizeof text, 0) == 8);
    return NULL;
}

static const char *counts_no_links(void)
{
    struct stat found;
    REQUIRE(fstat(unlinked_file("data"), &found) == 0);
    REQUIRE(found.st_nlink == 0 && found.st_size == 4);
    return NULL;
}

static const char *truncates(void)
{
    int fd = unlinked_file("data");
    struct stat found;
    REQUIRE(ftruncate(fd, 100000) == 0);
    REQUIRE(fstat(fd, &found) == 0 && found.st_size == 100000);
    return NULL;
}

static const char *takes_mode_and_owner(void)
{
    int fd = unlinked_file("data");
    struct stat found;
    REQUIRE(fchmod(fd, 0600) == 0 && fchown(fd, 12, 34) == 0);
    REQUIRE(fstat(fd, &found) == 0 && found.st_uid == 12 && (found.st_mode & 0777) == 0600);
    return NULL;
}

static const char *takes_times(void)
{
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    int fd = unlinked_file("data");
    struct stat found;
    REQUIRE(futimens(fd, times) == 0);
    REQUIRE(fstat(fd, &found) == 0 && found.st_mtime == 2000);
    return NULL;
}

static const char *reopens_through_proc(void)
{
    char path[64], byte;
    snprintf(path, sizeof path, "/proc/self/fd/%d", unlinked_file("data"));
    int again = open(path, O_RDWR);
    REQUIRE(again >= 0);
    REQUIRE(read(again, &byte, 1) == 1 && byte == 'd');
    return NULL;
}

static const char *name_can_be_taken_again(void)
{
    int fd = unlinked_file("old");
    char text[8];
    REQUIRE(write_file("file", "a new one", 0644));
    REQUIRE(pread(fd, text, sizeof text, 0) == 3);
    REQUIRE(has_text("file", "a new one"));
    return NULL;
}

static const char *file_without_name_is_named_later(void)
{
    int fd;
    char path[64];
    REQUIRE((fd = open(".", O_TMPFILE | O_RDWR, 0600)) >= 0);
    REQUIRE(write(fd, "data", 4) == 4);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    REQUIRE(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
    REQUIRE(has_text("named", "data"));
    return NULL;
}

static const char *removed_directory_takes_no_files(void)
{
    REQUIRE(mkdir("gone", 0755) == 0 && chdir("gone") == 0 && rmdir("../gone") == 0);
    REQUIRE_ERRNO(open("file", O_CREAT | O_WRONLY, 0644), ENOENT);
    return NULL;
}

const struct check unlinked_checks[] = {
    {"reads_and_writes", reads_and_writes},
    {"counts_no_links", counts_no_links},
    {"truncates", truncates},
    {"takes_mode_and_owner", takes_mode_and_owner},
    {"takes_times", takes_times},
    {"reopens_through_proc", reopens_through_proc},
    {"name_can_be_taken_again", name_can_be_taken_again},
    {"file_without_name_is_named_later", file_without_name_is_named_later},
    {"removed_directory_takes_no_files", removed_directory_takes_no_files},
    {NULL, NULL},
};
