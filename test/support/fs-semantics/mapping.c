/* mmap(2): mappings, the files behind them and each other. */
#include "check.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096

static char *map(int fd, size_t length, int flags)
{
    char *mapping = mmap(NULL, length, PROT_READ | PROT_WRITE, flags, fd, 0);
    return mapping == MAP_FAILED ? NULL : mapping;
}

static const char *private_mapping_leaves_the_file(void)
{
    int fd = make_file("file", "hello", 0644);
    char *mapping = map(fd, PAGE, MAP_PRIVATE);
    REQUIRE(mapping != NULL && memcmp(mapping, "hello", 5) == 0);
    mapping[0] = 'J';
    REQUIRE(munmap(mapping, PAGE) == 0);
    REQUIRE(has_text("file", "hello"));
    return NULL;
}

static const char *shared_mapping_is_written_back(void)
{
    int fd = make_file("file", "0123", 0644);
    char *mapping = map(fd, PAGE, MAP_SHARED);
    REQUIRE(mapping != NULL);
    mapping[0] = 'x';
    REQUIRE(msync(mapping, PAGE, MS_SYNC) == 0);
    REQUIRE(has_text("file", "x123"));
    return NULL;
}

static const char *read_sees_stores(void)
{
    int fd = make_file("file", "0123", 0644);
    char *mapping = map(fd, PAGE, MAP_SHARED);
    char byte = 0;
    REQUIRE(mapping != NULL);
    mapping[2] = 'x';
    REQUIRE(pread(fd, &byte, 1, 2) == 1 && byte == 'x');
    return NULL;
}

static const char *mapping_sees_writes(void)
{
    int fd = make_file("file", "0123", 0644);
    char *mapping = map(fd, PAGE, MAP_SHARED);
    REQUIRE(mapping != NULL && mapping[1] == '1');
    REQUIRE(pwrite(fd, "y", 1, 1) == 1);
    REQUIRE(mapping[1] == 'y');
    return NULL;
}

static int store_through_own_mapping(void)
{
    char *mapping = map(open("file", O_RDWR), PAGE, MAP_SHARED);
    if (mapping == NULL) return 1;
    mapping[3] = 'z';
    return 0;
}

static const char *processes_share_a_mapping(void)
{
    char *mapping = map(make_file("file", "0123", 0644), PAGE, MAP_SHARED);
    REQUIRE(mapping != NULL);
    REQUIRE(in_child(store_through_own_mapping) == 0);
    REQUIRE(mapping[3] == 'z');
    return NULL;
}

static int touch_beyond_the_end(void)
{
    volatile char *mapping = map(open("file", O_RDWR), 2 * PAGE, MAP_SHARED);
    return mapping == NULL ? 1 : mapping[PAGE];
}

static const char *page_beyond_the_end_is_a_bus_error(void)
{
    REQUIRE(write_file("file", "short", 0644));
    REQUIRE(in_child(touch_beyond_the_end) == 128 + SIGBUS);
    return NULL;
}

static const char *truncation_zeroes_what_was_cut(void)
{
    int fd = make_file("file", "", 0644);
    REQUIRE(ftruncate(fd, 2 * PAGE) == 0);
    char *mapping = map(fd, 2 * PAGE, MAP_SHARED);
    REQUIRE(mapping != NULL);
    mapping[1] = mapping[PAGE] = 'x';
    REQUIRE(ftruncate(fd, 1) == 0 && ftruncate(fd, 2 * PAGE) == 0);
    REQUIRE(mapping[1] == 0 && mapping[PAGE] == 0);
    return NULL;
}

static const char *mapping_outlives_name_and_descriptor(void)
{
    int fd = make_file("file", "0123", 0644);
    char *mapping = map(fd, PAGE, MAP_SHARED);
    REQUIRE(mapping != NULL && unlink("file") == 0 && close(fd) == 0);
    mapping[0] = 'x';
    REQUIRE(msync(mapping, PAGE, MS_SYNC) == 0 && memcmp(mapping, "x123", 4) == 0);
    return NULL;
}

const struct check mapping_checks[] = {
    {"private_mapping_leaves_the_file", private_mapping_leaves_the_file},
    {"shared_mapping_is_written_back", shared_mapping_is_written_back},
    {"read_sees_stores", read_sees_stores},
    {"mapping_sees_writes", mapping_sees_writes},
    {"processes_share_a_mapping", processes_share_a_mapping},
    {"page_beyond_the_end_is_a_bus_error", page_beyond_the_end_is_a_bus_error},
    {"truncation_zeroes_what_was_cut", truncation_zeroes_what_was_cut},
    {"mapping_outlives_name_and_descriptor", mapping_outlives_name_and_descriptor},
    {NULL, NULL},
};
