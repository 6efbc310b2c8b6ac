/*
 * overlayfs.rst: files that came with the image, and lie in a layer below the one that is written to.
 *
 * IMAGE-DIRECTORY has to hold, all of root: file-1 to file-7 ("from the image\n", mode 0640), link-a and link-b (one
 * inode), symlink (to file-1), tree/inner/file and moving/file, all with the same text. Each check uses up its own.
 */
#include "check.h"

#include <stdio.h>
#include <string.h>

#define TEXT "from the image\n"

static const char *in_image(const char *name)
{
    static char paths[4][4096];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", image_directory, name);
    return path;
}

static bool append(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0;
}

static const char *file_is_appended_to(void)
{
    REQUIRE(append(in_image("file-1"), "and more\n"));
    REQUIRE(has_text(in_image("file-1"), TEXT "and more\n"));
    REQUIRE(has_text(in_image("symlink"), TEXT "and more\n"));
    return NULL;
}

static const char *change_of_mode_keeps_the_rest(void)
{
    struct stat before, after;
    REQUIRE(stat(in_image("file-2"), &before) == 0 && chmod(in_image("file-2"), 0600) == 0);
    REQUIRE(stat(in_image("file-2"), &after) == 0);
    REQUIRE((after.st_mode & 0777) == 0600 && after.st_size == before.st_size);
    REQUIRE(after.st_mtim.tv_sec == before.st_mtim.tv_sec && after.st_uid == before.st_uid);
    return NULL;
}

static const char *inode_stays_when_written_to(void)
{
    struct stat before, after;
    REQUIRE(stat(in_image("file-3"), &before) == 0 && append(in_image("file-3"), "x"));
    REQUIRE(stat(in_image("file-3"), &after) == 0);
    REQUIRE(before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    return NULL;
}

static const char *reader_sees_a_later_write(void)
{
    char text[64];
    int reader = open(in_image("file-4"), O_RDONLY);
    REQUIRE(reader >= 0 && append(in_image("file-4"), "x"));
    REQUIRE(read(reader, text, sizeof text) == (ssize_t)strlen(TEXT "x"));
    return NULL;
}

static const char *file_is_removed_and_made_again(void)
{
    REQUIRE(unlink(in_image("file-5")) == 0);
    REQUIRE_ERRNO(access(in_image("file-5"), F_OK), ENOENT);
    REQUIRE(write_file(in_image("file-5"), "anew", 0644) && has_text(in_image("file-5"), "anew"));
    return NULL;
}

static const char *file_is_renamed(void)
{
    REQUIRE(rename(in_image("file-6"), in_image("renamed")) == 0);
    REQUIRE_ERRNO(access(in_image("file-6"), F_OK), ENOENT);
    REQUIRE(has_text(in_image("renamed"), TEXT));
    return NULL;
}

static const char *truncating_open_empties_the_file(void)
{
    REQUIRE(write_file(in_image("file-7"), "", 0644) && has_text(in_image("file-7"), ""));
    return NULL;
}

static const char *hard_links_stay_together(void)
{
    REQUIRE(append(in_image("link-a"), "x"));
    REQUIRE(has_text(in_image("link-b"), TEXT "x"));
    return NULL;
}

static const char *directory_is_renamed(void)
{
    REQUIRE(rename(in_image("moving"), in_image("moved")) == 0);
    REQUIRE(has_text(in_image("moved/file"), TEXT));
    return NULL;
}

static const char *directory_is_removed_and_made_again_empty(void)
{
    REQUIRE(unlink(in_image("tree/inner/file")) == 0 && rmdir(in_image("tree/inner")) == 0);
    REQUIRE(mkdir(in_image("tree/inner"), 0755) == 0);
    REQUIRE_ERRNO(access(in_image("tree/inner/file"), F_OK), ENOENT);
    return NULL;
}

const struct check image_checks[] = {
    {"file_is_appended_to", file_is_appended_to},
    {"change_of_mode_keeps_the_rest", change_of_mode_keeps_the_rest},
    {"inode_stays_when_written_to", inode_stays_when_written_to},
    {"reader_sees_a_later_write", reader_sees_a_later_write},
    {"file_is_removed_and_made_again", file_is_removed_and_made_again},
    {"file_is_renamed", file_is_renamed},
    {"truncating_open_empties_the_file", truncating_open_empties_the_file},
    {"hard_links_stay_together", hard_links_stay_together},
    {"directory_is_renamed", directory_is_renamed},
    {"directory_is_removed_and_made_again_empty", directory_is_removed_and_made_again_empty},
    {NULL, NULL},
};
