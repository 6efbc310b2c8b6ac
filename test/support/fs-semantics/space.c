/* fallocate(2), lseek(2), open(2) O_DIRECT and O_APPEND, copy_file_range(2), statfs(2): data and room for it. */
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/wait.h>

#define MEGABYTE (1 << 20)

static const char *room_can_be_reserved(void)
{
    struct stat found;
    int fd = make_file("file", "", 0644);
    REQUIRE(fallocate(fd, 0, 0, MEGABYTE) == 0);
    REQUIRE(fstat(fd, &found) == 0 && found.st_size == MEGABYTE && found.st_blocks >= MEGABYTE / 512);
    return NULL;
}

static const char *room_is_reserved_by_posix(void)
{
    int result = posix_fallocate(make_file("file", "", 0644), 0, 65536);
    errno = result;
    if (result != 0) return failed("posix_fallocate(…) == 0", __LINE__);
    return NULL;
}

static const char *hole_can_be_punched(void)
{
    static char data[8192];
    char byte = 1;
    int fd = make_file("file", "", 0644);
    memset(data, 'x', sizeof data);
    REQUIRE(write(fd, data, sizeof data) == sizeof data);
    REQUIRE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
    REQUIRE(pread(fd, &byte, 1, 100) == 1 && byte == 0);
    REQUIRE(pread(fd, &byte, 1, 5000) == 1 && byte == 'x');
    return NULL;
}

static const char *hole_takes_no_room(void)
{
    struct stat found;
    int fd = make_file("file", "", 0644);
    REQUIRE(ftruncate(fd, 10 * MEGABYTE) == 0);
    REQUIRE(fstat(fd, &found) == 0 && found.st_blocks < 128);
    return NULL;
}

static const char *holes_can_be_found(void)
{
    int fd = make_file("file", "", 0644);
    REQUIRE(pwrite(fd, "x", 1, MEGABYTE) == 1 && fsync(fd) == 0);
    off_t data = lseek(fd, 0, SEEK_DATA);
    REQUIRE(data > 0 && data <= MEGABYTE);
    REQUIRE(lseek(fd, 0, SEEK_HOLE) == 0);
    return NULL;
}

static const char *offsets_beyond_4_gigabytes_work(void)
{
    off_t far = 5LL << 30;
    struct stat found;
    char byte = 0;
    int fd = make_file("file", "", 0644);
    REQUIRE(pwrite(fd, "x", 1, far) == 1 && fstat(fd, &found) == 0 && found.st_size == far + 1);
    REQUIRE(pread(fd, &byte, 1, far) == 1 && byte == 'x');
    return NULL;
}

static const char *truncated_file_grows_with_zeroes(void)
{
    char text[8] = "unknown";
    int fd = make_file("file", "0123", 0644);
    REQUIRE(ftruncate(fd, 2) == 0 && ftruncate(fd, 4) == 0);
    REQUIRE(pread(fd, text, sizeof text, 0) == 4 && memcmp(text, "01\0\0", 4) == 0);
    return NULL;
}

static const char *direct_io_works(void)
{
    void *buffer;
    int fd = open("file", O_CREAT | O_RDWR | O_DIRECT, 0644);
    REQUIRE(fd >= 0 && posix_memalign(&buffer, 4096, 8192) == 0);
    memset(buffer, 'q', 8192);
    REQUIRE(write(fd, buffer, 8192) == 8192 && pread(fd, buffer, 4096, 4096) == 4096);
    return NULL;
}

static int append_200_times(void)
{
    int fd = open("file", O_WRONLY | O_APPEND);
    for (int i = 0; i < 200; i++)
        if (write(fd, "0123456789", 10) != 10) return 1;
    return 0;
}

static const char *two_processes_append(void)
{
    struct stat found;
    int status = 1;
    REQUIRE(write_file("file", "", 0644));
    pid_t other = fork();
    if (other == 0) _exit(append_200_times());
    REQUIRE(append_200_times() == 0 && waitpid(other, &status, 0) == other && status == 0);
    REQUIRE(stat("file", &found) == 0);
    if (found.st_size != 4000) return because("%ld of 4000 bytes are there", (long)found.st_size);
    return NULL;
}

static const char *other_process_sees_a_write_at_once(void)
{
    int writer = make_file("file", "", 0644), reader = open("file", O_RDONLY);
    char text[8];
    REQUIRE(read(reader, text, sizeof text) == 0);
    REQUIRE(write(writer, "data", 4) == 4);
    REQUIRE(read(reader, text, sizeof text) == 4);
    return NULL;
}

static const char *range_is_copied_by_the_kernel(void)
{
    int from = make_file("from", "abcdef", 0644), to = make_file("to", "", 0644);
    REQUIRE(copy_file_range(from, NULL, to, NULL, 6, 0) == 6);
    REQUIRE(has_text("to", "abcdef"));
    return NULL;
}

static const char *file_is_sent_by_the_kernel(void)
{
    int from = make_file("from", "abcdef", 0644), to = make_file("to", "", 0644);
    REQUIRE(sendfile(to, from, NULL, 6) == 6);
    REQUIRE(has_text("to", "abcdef"));
    return NULL;
}

static const char *room_is_counted(void)
{
    struct statfs found;
    REQUIRE(statfs(".", &found) == 0);
    REQUIRE(found.f_blocks > 0 && found.f_bavail > 0 && found.f_files > 0 && found.f_namelen >= 255);
    return NULL;
}

const struct check space_checks[] = {
    {"room_can_be_reserved", room_can_be_reserved},
    {"room_is_reserved_by_posix", room_is_reserved_by_posix},
    {"hole_can_be_punched", hole_can_be_punched},
    {"hole_takes_no_room", hole_takes_no_room},
    {"holes_can_be_found", holes_can_be_found},
    {"offsets_beyond_4_gigabytes_work", offsets_beyond_4_gigabytes_work},
    {"truncated_file_grows_with_zeroes", truncated_file_grows_with_zeroes},
    {"direct_io_works", direct_io_works},
    {"two_processes_append", two_processes_append},
    {"other_process_sees_a_write_at_once", other_process_sees_a_write_at_once},
    {"range_is_copied_by_the_kernel", range_is_copied_by_the_kernel},
    {"file_is_sent_by_the_kernel", file_is_sent_by_the_kernel},
    {"room_is_counted", room_is_counted},
    {NULL, NULL},
};
