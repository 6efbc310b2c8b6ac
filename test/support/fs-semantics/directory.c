/* readdir(3), inotify(7), mkdir(2), path_resolution(7): directories, names and what watches them. */
#include "check.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>

#define MANY 800

static bool make_many(const char *directory)
{
    char path[128];
    if (mkdir(directory, 0755) != 0) return false;
    for (int i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "%s/a-file-with-a-rather-long-name-%d", directory, i);
        if (!write_file(path, "", 0644)) return false;
    }
    return true;
}

static const char *every_entry_is_listed_once(void)
{
    static bool seen[MANY];
    struct dirent *entry;
    int count = 0, number;
    REQUIRE(make_many("many"));
    DIR *directory = opendir("many");
    while ((entry = readdir(directory)) != NULL) {
        const char *dash = strrchr(entry->d_name, '-');
        if (dash == NULL || sscanf(dash, "-%d", &number) != 1) continue;
        if (seen[number]) return because("%s is listed twice", entry->d_name);
        seen[number] = true;
        count++;
    }
    if (count != MANY) return because("%d of %d files are listed", count, MANY);
    return NULL;
}

static const char *entries_can_be_removed_while_listing(void)
{
    struct dirent *entry;
    REQUIRE(make_many("many"));
    DIR *directory = opendir("many");
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.') REQUIRE(unlinkat(dirfd(directory), entry->d_name, 0) == 0);
    REQUIRE(rmdir("many") == 0);
    return NULL;
}

static const char *listing_goes_back_to_a_place(void)
{
    REQUIRE(make_many("many"));
    DIR *directory = opendir("many");
    for (int i = 0; i < MANY / 2; i++) REQUIRE(readdir(directory) != NULL);
    long place = telldir(directory);
    struct dirent *entry = readdir(directory);
    REQUIRE(entry != NULL);
    char name[256];
    snprintf(name, sizeof name, "%s", entry->d_name);
    rewinddir(directory);
    seekdir(directory, place);
    entry = readdir(directory);
    REQUIRE(entry != NULL && strcmp(entry->d_name, name) == 0);
    return NULL;
}

static const char *listing_has_inodes_and_types(void)
{
    struct stat found;
    struct dirent *entry;
    bool right = false;
    REQUIRE(write_file("file", "x", 0644) && stat("file", &found) == 0);
    DIR *directory = opendir(".");
    while ((entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, "file") == 0)
            right = entry->d_ino == found.st_ino && (entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN);
    REQUIRE(right);
    return NULL;
}

static const char *full_directory_is_not_removed(void)
{
    REQUIRE(mkdir("full", 0755) == 0 && write_file("full/file", "x", 0644));
    errno = 0;
    REQUIRE(rmdir("full") < 0 && (errno == ENOTEMPTY || errno == EEXIST));
    return NULL;
}

static const char *names_are_any_bytes(void)
{
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = '\0';
    REQUIRE(write_file(longest, "x", 0644) && has_text(longest, "x"));
    REQUIRE(write_file("sp ace\\back\nline\xff\x01", "y", 0644) && has_text("sp ace\\back\nline\xff\x01", "y"));
    REQUIRE(write_file("Case", "C", 0644) && write_file("case", "c", 0644) && has_text("Case", "C"));
    return NULL;
}

static const char *name_of_256_bytes_is_refused(void)
{
    char longer[257];
    memset(longer, 'n', 256);
    longer[256] = '\0';
    REQUIRE_ERRNO(mkdir(longer, 0755), ENAMETOOLONG);
    return NULL;
}

static const char *tree_can_be_deep(void)
{
    char name[101];
    memset(name, 'p', 100);
    name[100] = '\0';
    for (int depth = 0; depth < 30; depth++) REQUIRE(mkdir(name, 0755) == 0 && chdir(name) == 0);
    REQUIRE(write_file("file", "x", 0644) && has_text("file", "x"));
    return NULL;
}

static const char *directory_can_be_synced(void)
{
    REQUIRE(fsync(open(".", O_RDONLY | O_DIRECTORY)) == 0);
    return NULL;
}

static const char *own_changes_are_noticed(void)
{
    char events[4096];
    int watch = inotify_init1(IN_NONBLOCK);
    REQUIRE(inotify_add_watch(watch, ".", IN_CREATE | IN_MOVED_TO | IN_DELETE) >= 0);
    REQUIRE(write_file("file", "x", 0644) && rename("file", "moved") == 0 && unlink("moved") == 0);
    REQUIRE(read(watch, events, sizeof events) >= (ssize_t)(3 * sizeof(struct inotify_event)));
    return NULL;
}

static int change_the_file(void)
{
    return write(open("file", O_WRONLY), "y", 1) == 1 ? 0 : 1;
}

static const char *changes_of_others_are_noticed(void)
{
    char events[4096];
    int watch = inotify_init1(IN_NONBLOCK);
    REQUIRE(write_file("file", "x", 0644) && inotify_add_watch(watch, "file", IN_MODIFY) >= 0);
    REQUIRE(in_child(change_the_file) == 0);
    REQUIRE(read(watch, events, sizeof events) > 0);
    return NULL;
}

static const char *thousands_of_files_are_open(void)
{
    struct rlimit limit = {3000, 3000};
    char path[32];
    int last = -1;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof path, "file-%d", i);
        last = make_file(path, path, 0644);
        if (last < 0) return because("only %d files can be open: %s", i, strerror(errno));
    }
    REQUIRE(pread(last, path, sizeof path, 0) == 9);
    return NULL;
}

const struct check directory_checks[] = {
    {"every_entry_is_listed_once", every_entry_is_listed_once},
    {"entries_can_be_removed_while_listing", entries_can_be_removed_while_listing},
    {"listing_goes_back_to_a_place", listing_goes_back_to_a_place},
    {"listing_has_inodes_and_types", listing_has_inodes_and_types},
    {"full_directory_is_not_removed", full_directory_is_not_removed},
    {"names_are_any_bytes", names_are_any_bytes},
    {"name_of_256_bytes_is_refused", name_of_256_bytes_is_refused},
    {"tree_can_be_deep", tree_can_be_deep},
    {"directory_can_be_synced", directory_can_be_synced},
    {"own_changes_are_noticed", own_changes_are_noticed},
    {"changes_of_others_are_noticed", changes_of_others_are_noticed},
    {"thousands_of_files_are_open", thousands_of_files_are_open},
    {NULL, NULL},
};
