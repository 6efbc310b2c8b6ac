/* flock(2), fcntl(2): locks between processes, leases. */
#include "check.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static struct flock whole_file(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

static int flock_is_refused(void)
{
    return flock(open("file", O_RDWR), LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK ? 0 : 1;
}

static const char *flock_excludes_others(void)
{
    int fd = make_file("file", "", 0644);
    REQUIRE(flock(fd, LOCK_EX) == 0);
    REQUIRE(in_child(flock_is_refused) == 0);
    REQUIRE(flock(fd, LOCK_UN) == 0);
    REQUIRE(in_child(flock_is_refused) == 1);
    return NULL;
}

static int record_lock_is_refused(void)
{
    struct flock lock = whole_file(F_WRLCK);
    return fcntl(open("file", O_RDWR), F_SETLK, &lock) < 0 && (errno == EAGAIN || errno == EACCES) ? 0 : 1;
}

static const char *record_lock_excludes_others(void)
{
    int fd = make_file("file", "0123", 0644);
    struct flock lock = whole_file(F_WRLCK);
    REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
    REQUIRE(in_child(record_lock_is_refused) == 0);
    return NULL;
}

static int second_byte_is_free(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
    return fcntl(open("file", O_RDWR), F_SETLK, &lock) == 0 ? 0 : 1;
}

static const char *record_lock_covers_its_bytes_only(void)
{
    int fd = make_file("file", "0123", 0644);
    struct flock first = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    REQUIRE(fcntl(fd, F_SETLK, &first) == 0);
    REQUIRE(in_child(second_byte_is_free) == 0);
    return NULL;
}

static const char *description_locks_exclude_each_other(void)
{
    int one = make_file("file", "0123", 0644), other = open("file", O_RDWR);
    struct flock lock = whole_file(F_WRLCK), wanted = whole_file(F_WRLCK);
    REQUIRE(fcntl(one, F_OFD_SETLK, &lock) == 0);
    REQUIRE(fcntl(other, F_OFD_SETLK, &wanted) < 0 && (errno == EAGAIN || errno == EACCES));
    return NULL;
}

static int lock_and_die(void)
{
    struct flock lock = whole_file(F_WRLCK);
    if (fcntl(open("file", O_RDWR), F_SETLK, &lock) != 0) return 1;
    raise(SIGKILL);
    return 2;
}

static const char *lock_dies_with_its_process(void)
{
    int fd = make_file("file", "0123", 0644);
    struct flock lock = whole_file(F_WRLCK);
    REQUIRE(in_child(lock_and_die) == 128 + SIGKILL);
    REQUIRE(fcntl(fd, F_SETLK, &lock) == 0);
    return NULL;
}

static const char *lease_is_granted(void)
{
    REQUIRE(write_file("file", "x", 0644));
    REQUIRE(fcntl(open("file", O_RDONLY), F_SETLEASE, F_RDLCK) == 0);
    return NULL;
}

const struct check lock_checks[] = {
    {"flock_excludes_others", flock_excludes_others},
    {"record_lock_excludes_others", record_lock_excludes_others},
    {"record_lock_covers_its_bytes_only", record_lock_covers_its_bytes_only},
    {"description_locks_exclude_each_other", description_locks_exclude_each_other},
    {"lock_dies_with_its_process", lock_dies_with_its_process},
    {"lease_is_granted", lease_is_granted},
    {NULL, NULL},
};
