/* rename(2), renameat2(2): replacing, exchanging, and what is open meanwhile. */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* linux/fs.h, which musl does not bring along */
#define NO_REPLACE 1
#define EXCHANGE 2

static int rename_with(const char *from, const char *to, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static const char *replaced_file_stays_open(void)
{
    int old = make_file("to", "old", 0644);
    char text[8];
    REQUIRE(write_file("from", "newer", 0644) && rename("from", "to") == 0);
    REQUIRE(pread(old, text, sizeof text, 0) == 3 && memcmp(text, "old", 3) == 0);
    REQUIRE(has_text("to", "newer"));
    return NULL;
}

static const char *replaced_file_counts_no_links(void)
{
    int old = make_file("to", "old", 0644);
    struct stat found;
    REQUIRE(write_file("from", "new", 0644) && rename("from", "to") == 0);
    REQUIRE(fstat(old, &found) == 0 && found.st_nlink == 0 && found.st_size == 3);
    return NULL;
}

static const char *can_refuse_to_replace(void)
{
    REQUIRE(write_file("a", "1", 0644) && write_file("b", "2", 0644));
    REQUIRE_ERRNO(rename_with("a", "b", NO_REPLACE), EEXIST);
    REQUIRE(has_text("b", "2"));
    return NULL;
}

static const char *can_exchange(void)
{
    REQUIRE(write_file("a", "1", 0644) && write_file("b", "2", 0644));
    REQUIRE(rename_with("a", "b", EXCHANGE) == 0);
    REQUIRE(has_text("a", "2") && has_text("b", "1"));
    return NULL;
}

static const char *directory_moves_with_its_files(void)
{
    REQUIRE(mkdir("a", 0755) == 0 && write_file("a/file", "x", 0644) && rename("a", "b") == 0);
    REQUIRE(has_text("b/file", "x"));
    REQUIRE_ERRNO(access("a", F_OK), ENOENT);
    return NULL;
}

static const char *directory_replaces_an_empty_one_only(void)
{
    REQUIRE(mkdir("a", 0755) == 0 && mkdir("empty", 0755) == 0 && mkdir("full", 0755) == 0);
    REQUIRE(write_file("full/file", "x", 0644));
    errno = 0;
    REQUIRE(rename("a", "full") < 0 && (errno == ENOTEMPTY || errno == EEXIST));
    REQUIRE(rename("a", "empty") == 0);
    return NULL;
}

static const char *directory_cannot_go_into_itself(void)
{
    REQUIRE(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0);
    REQUIRE_ERRNO(rename("a", "a/b/c"), EINVAL);
    return NULL;
}

static const char *open_directory_moves_along(void)
{
    REQUIRE(mkdir("a", 0755) == 0 && write_file("a/file", "x", 0644));
    int directory = open("a", O_RDONLY | O_DIRECTORY);
    REQUIRE(rename("a", "b") == 0);
    REQUIRE(faccessat(directory, "file", R_OK, 0) == 0);
    REQUIRE(openat(directory, "new", O_CREAT | O_WRONLY, 0644) >= 0);
    REQUIRE(access("b/new", F_OK) == 0);
    return NULL;
}

static const char *open_file_follows_its_directory(void)
{
    REQUIRE(mkdir("a", 0755) == 0);
    int fd = make_file("a/file", "data", 0644);
    struct stat found;
    REQUIRE(rename("a", "b") == 0);
    REQUIRE(fchmod(fd, 0600) == 0 && ftruncate(fd, 1) == 0);
    REQUIRE(stat("b/file", &found) == 0 && found.st_size == 1 && (found.st_mode & 0777) == 0600);
    return NULL;
}

static const char *keeps_the_inode(void)
{
    struct stat before, after;
    REQUIRE(write_file("a", "x", 0644) && stat("a", &before) == 0);
    REQUIRE(rename("a", "b") == 0 && stat("b", &after) == 0);
    REQUIRE(before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    return NULL;
}

const struct check rename_checks[] = {
    {"replaced_file_stays_open", replaced_file_stays_open},
    {"replaced_file_counts_no_links", replaced_file_counts_no_links},
    {"can_refuse_to_replace", can_refuse_to_replace},
    {"can_exchange", can_exchange},
    {"directory_moves_with_its_files", directory_moves_with_its_files},
    {"directory_replaces_an_empty_one_only", directory_replaces_an_empty_one_only},
    {"directory_cannot_go_into_itself", directory_cannot_go_into_itself},
    {"open_directory_moves_along", open_directory_moves_along},
    {"open_file_follows_its_directory", open_file_follows_its_directory},
    {"keeps_the_inode", keeps_the_inode},
    {NULL, NULL},
};
