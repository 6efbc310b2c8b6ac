/* chown(2), chmod(2), path_resolution(7), acl(5), capabilities(7): who may do what. */
#include "check.h"

#include <string.h>
#include <sys/xattr.h>

static const char *owner_is_kept(void)
{
    struct stat found;
    REQUIRE(write_file("file", "x", 0644) && chown("file", 1234, 5678) == 0);
    REQUIRE(stat("file", &found) == 0 && found.st_uid == 1234 && found.st_gid == 5678);
    return NULL;
}

static const char *large_ids_are_kept(void)
{
    struct stat found;
    REQUIRE(write_file("file", "x", 0644) && chown("file", 4000000000u, 4000000001u) == 0);
    REQUIRE(stat("file", &found) == 0 && found.st_uid == 4000000000u && found.st_gid == 4000000001u);
    return NULL;
}

static const char *symlink_has_an_owner(void)
{
    struct stat found;
    REQUIRE(symlink("nowhere", "link") == 0 && lchown("link", 12, 34) == 0);
    REQUIRE(lstat("link", &found) == 0 && found.st_uid == 12);
    return NULL;
}

static const char *new_owner_clears_setuid(void)
{
    struct stat found;
    REQUIRE(write_file("file", "x", 0755) && chmod("file", 06755) == 0);
    REQUIRE(stat("file", &found) == 0 && (found.st_mode & 06000) == 06000);
    REQUIRE(chown("file", 1, 1) == 0 && stat("file", &found) == 0 && (found.st_mode & 06000) == 0);
    return NULL;
}

static int write_a_byte(void)
{
    return write(open("file", O_WRONLY), "y", 1) == 1 ? 0 : 1;
}

static const char *write_by_another_clears_setuid(void)
{
    struct stat found;
    REQUIRE(write_file("file", "x", 0755) && chmod("file", 04777) == 0);
    REQUIRE(as_user(write_a_byte) == 0);
    REQUIRE(stat("file", &found) == 0 && (found.st_mode & 04000) == 0);
    return NULL;
}

static int run_setuid_copy(void)
{
    execl("./copy", "copy", "ids", (char *)NULL);
    return 1;
}

static const char *setuid_program_runs_as_its_owner(void)
{
    REQUIRE(copy_self("copy", 04755));
    REQUIRE(as_user(run_setuid_copy) == EXIT_IS_ROOT);
    return NULL;
}

static int run_capable_copy(void)
{
    execl("./copy", "copy", "capabilities", (char *)NULL);
    return 1;
}

static const char *file_capabilities_are_granted(void)
{
    /* struct vfs_cap_data, version 2, effective: cap_net_bind_service permitted */
    unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
    REQUIRE(copy_self("copy", 0755));
    REQUIRE(setxattr("copy", "security.capability", capability, sizeof capability, 0) == 0);
    REQUIRE(as_user(run_capable_copy) == EXIT_HAS_CAPABILITY);
    return NULL;
}

static int read_what_is_private(void)
{
    return open("private", O_RDONLY) < 0 && errno == EACCES ? 0 : 1;
}

static const char *private_file_is_refused_to_others(void)
{
    REQUIRE(write_file("private", "x", 0600));
    REQUIRE(as_user(read_what_is_private) == 0);
    return NULL;
}

static int read_for_the_group(void)
{
    return open("grouped", O_RDONLY) >= 0 ? 0 : 1;
}

static const char *supplementary_group_counts(void)
{
    REQUIRE(write_file("grouped", "x", 0640) && chown("grouped", 0, USER_GROUP) == 0);
    REQUIRE(as_user(read_for_the_group) == 0);
    return NULL;
}

static int make_in_own_directory(void)
{
    struct stat found;
    int fd = open("theirs/file", O_CREAT | O_WRONLY, 0666);
    if (fd < 0 || fstat(fd, &found) != 0) return 1;
    return found.st_uid == USER && found.st_gid == USER && (found.st_mode & 0777) == 0644 ? 0 : 2;
}

static const char *new_file_belongs_to_its_maker(void)
{
    REQUIRE(mkdir("theirs", 0755) == 0 && chown("theirs", USER, USER) == 0);
    REQUIRE(as_user(make_in_own_directory) == 0);
    return NULL;
}

static int make_in_setgid_directory(void)
{
    struct stat found;
    if (mkdir("shared/inner", 0755) != 0 || stat("shared/inner", &found) != 0) return 1;
    return found.st_gid == 3000 && (found.st_mode & S_ISGID) != 0 ? 0 : 2;
}

static const char *setgid_directory_hands_its_group_down(void)
{
    REQUIRE(mkdir("shared", 0777) == 0 && chown("shared", 0, 3000) == 0 && chmod("shared", 02777) == 0);
    REQUIRE(as_user(make_in_setgid_directory) == 0);
    return NULL;
}

static int remove_from_sticky_directory(void)
{
    return unlink("sticky/file") < 0 && (errno == EPERM || errno == EACCES) ? 0 : 1;
}

static const char *sticky_directory_protects_its_files(void)
{
    REQUIRE(mkdir("sticky", 0777) == 0 && chmod("sticky", 01777) == 0 && write_file("sticky/file", "x", 0666));
    REQUIRE(as_user(remove_from_sticky_directory) == 0);
    return NULL;
}

static int give_file_away(void)
{
    return chown("file", 0, 0) < 0 && errno == EPERM ? 0 : 1;
}

static const char *user_cannot_give_files_away(void)
{
    REQUIRE(write_file("file", "x", 0644) && chown("file", USER, USER) == 0);
    REQUIRE(as_user(give_file_away) == 0);
    return NULL;
}

static int write_to_new_readonly_file(void)
{
    int fd = open("open/file", O_CREAT | O_EXCL | O_RDWR, 0444);
    return fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 && close(fd) == 0 ? 0 : 1;
}

static const char *new_readonly_file_is_written_by_its_maker(void)
{
    REQUIRE(mkdir("open", 0777) == 0 && chmod("open", 0777) == 0);
    REQUIRE(as_user(write_to_new_readonly_file) == 0);
    REQUIRE(has_text("open/file", "x"));
    return NULL;
}

/* posix_acl_xattr: version 2, then tag, permission and id of each entry */
static const unsigned char USER_MAY_READ[] = {
    2,    0, 0, 0,                             /* version */
    1,    0, 6, 0, 0xff, 0xff, 0xff, 0xff,     /* the owner: rw- */
    2,    0, 4, 0, 0xe8, 0x03, 0x00, 0x00,     /* user 1000: r-- */
    4,    0, 0, 0, 0xff, 0xff, 0xff, 0xff,     /* the group: --- */
    0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,     /* the mask: r-- */
    0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,     /* others: --- */
};

static const char *access_list_lets_a_user_in(void)
{
    REQUIRE(write_file("grouped", "x", 0600));
    REQUIRE(setxattr("grouped", "system.posix_acl_access", USER_MAY_READ, sizeof USER_MAY_READ, 0) == 0);
    REQUIRE(as_user(read_for_the_group) == 0);
    return NULL;
}

const struct check owner_checks[] = {
    {"owner_is_kept", owner_is_kept},
    {"large_ids_are_kept", large_ids_are_kept},
    {"symlink_has_an_owner", symlink_has_an_owner},
    {"new_owner_clears_setuid", new_owner_clears_setuid},
    {"write_by_another_clears_setuid", write_by_another_clears_setuid},
    {"setuid_program_runs_as_its_owner", setuid_program_runs_as_its_owner},
    {"file_capabilities_are_granted", file_capabilities_are_granted},
    {"private_file_is_refused_to_others", private_file_is_refused_to_others},
    {"supplementary_group_counts", supplementary_group_counts},
    {"new_file_belongs_to_its_maker", new_file_belongs_to_its_maker},
    {"setgid_directory_hands_its_group_down", setgid_directory_hands_its_group_down},
    {"sticky_directory_protects_its_files", sticky_directory_protects_its_files},
    {"user_cannot_give_files_away", user_cannot_give_files_away},
    {"new_readonly_file_is_written_by_its_maker", new_readonly_file_is_written_by_its_maker},
    {"access_list_lets_a_user_in", access_list_lets_a_user_in},
    {NULL, NULL},
};
