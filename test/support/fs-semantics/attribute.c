/* xattr(7), utimensat(2), statx(2), open_by_handle_at(2): what is known of a file beside its data. */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

static const char *user_attributes_are_kept(void)
{
    char value[16];
    REQUIRE(write_file("file", "x", 0644) && setxattr("file", "user.colour", "red", 3, 0) == 0);
    REQUIRE(getxattr("file", "user.colour", value, sizeof value) == 3 && memcmp(value, "red", 3) == 0);
    REQUIRE(removexattr("file", "user.colour") == 0);
    REQUIRE_ERRNO(getxattr("file", "user.colour", value, sizeof value), ENODATA);
    return NULL;
}

static const char *attributes_are_listed(void)
{
    char names[256];
    REQUIRE(write_file("file", "x", 0644) && setxattr("file", "user.colour", "red", 3, 0) == 0);
    ssize_t length = listxattr("file", names, sizeof names);
    REQUIRE(length > 0 && memmem(names, (size_t)length, "user.colour", 12) != NULL);
    return NULL;
}

static const char *large_attributes_are_kept(void)
{
    static char value[2000], found[sizeof value];
    memset(value, 'v', sizeof value);
    REQUIRE(write_file("file", "x", 0644) && setxattr("file", "user.large", value, sizeof value, 0) == 0);
    REQUIRE(getxattr("file", "user.large", found, sizeof found) == sizeof found);
    REQUIRE(memcmp(value, found, sizeof value) == 0);
    return NULL;
}

static const char *trusted_attributes_are_kept(void)
{
    char value[16];
    REQUIRE(write_file("file", "x", 0644) && setxattr("file", "trusted.blazar-check", "yes", 3, 0) == 0);
    REQUIRE(getxattr("file", "trusted.blazar-check", value, sizeof value) == 3);
    return NULL;
}

static const char *times_have_nanoseconds(void)
{
    struct timespec times[2] = {{1000000000, 123456789}, {1000000001, 987654321}};
    struct stat found;
    REQUIRE(write_file("file", "x", 0644) && utimensat(AT_FDCWD, "file", times, 0) == 0);
    REQUIRE(stat("file", &found) == 0 && found.st_mtim.tv_sec == 1000000001);
    REQUIRE(found.st_mtim.tv_nsec == 987654321 && found.st_atim.tv_nsec == 123456789);
    return NULL;
}

static const char *writing_moves_the_time(void)
{
    struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct stat found;
    int fd = make_file("file", "x", 0644);
    REQUIRE(futimens(fd, long_ago) == 0);
    REQUIRE(write(fd, "y", 1) == 1 && close(fd) == 0);
    REQUIRE(stat("file", &found) == 0 && found.st_mtime > 1000);
    return NULL;
}

static const char *directory_time_moves_with_its_entries(void)
{
    struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct stat found;
    REQUIRE(mkdir("directory", 0755) == 0 && utimensat(AT_FDCWD, "directory", long_ago, 0) == 0);
    REQUIRE(write_file("directory/file", "x", 0644));
    REQUIRE(stat("directory", &found) == 0 && found.st_mtime > 1000);
    return NULL;
}

static const char *birth_time_is_known(void)
{
    /* struct statx, which older musl lacks, begins with the mask of what it holds */
    unsigned found[64], birth = 0x800;
    REQUIRE(write_file("file", "x", 0644));
    REQUIRE(syscall(SYS_statx, AT_FDCWD, "file", 0, birth, found) == 0);
    REQUIRE((found[0] & birth) != 0);
    return NULL;
}

static const char *handle_can_be_had(void)
{
    union {
        struct file_handle handle;
        char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } room = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
    int mount;
    REQUIRE(write_file("file", "x", 0644));
    REQUIRE(name_to_handle_at(AT_FDCWD, "file", &room.handle, &mount, 0) == 0);
    return NULL;
}

static const char *path_descriptor_leads_to_the_file(void)
{
    char path[64];
    struct stat found;
    REQUIRE(write_file("file", "x", 0644));
    snprintf(path, sizeof path, "/proc/self/fd/%d", open("file", O_PATH));
    REQUIRE(chmod(path, 0600) == 0 && open(path, O_RDWR) >= 0);
    REQUIRE(stat("file", &found) == 0 && (found.st_mode & 0777) == 0600);
    return NULL;
}

const struct check attribute_checks[] = {
    {"user_attributes_are_kept", user_attributes_are_kept},
    {"attributes_are_listed", attributes_are_listed},
    {"large_attributes_are_kept", large_attributes_are_kept},
    {"trusted_attributes_are_kept", trusted_attributes_are_kept},
    {"times_have_nanoseconds", times_have_nanoseconds},
    {"writing_moves_the_time", writing_moves_the_time},
    {"directory_time_moves_with_its_entries", directory_time_moves_with_its_entries},
    {"birth_time_is_known", birth_time_is_known},
    {"handle_can_be_had", handle_can_be_had},
    {"path_descriptor_leads_to_the_file", path_descriptor_leads_to_the_file},
    {NULL, NULL},
};
