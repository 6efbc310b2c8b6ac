/*
 * Uses a file together with other machines: locks it, counts in it, appends to it.
 *
 * usage: probe COMMAND FILE KIND [NUMBER]         KIND: flock, or fcntl (the first byte)
 *
 *   try     0 if the lock can be had now, 1 if somebody else has it
 *   hold    takes the lock, makes FILE.held, and keeps it until there is FILE.go
 *   wait    waits for the lock, then makes FILE.got
 *   late    waits for the lock and is interrupted by a signal after NUMBER seconds: 0 if that was EINTR
 *   count   NUMBER times: takes the lock, adds one to the number in the file, gives the lock back
 *   append  NUMBER times: appends a line, without any lock
 *   map     maps the file, changes its first byte to NUMBER, and waits until the second is NUMBER, too
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_flock;

static int set_lock(int fd, short type, int waits)
{
    if (is_flock) {
        int operation = type == F_UNLCK ? LOCK_UN : LOCK_EX;
        return flock(fd, operation | (waits ? 0 : LOCK_NB));
    }
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(fd, waits ? F_SETLKW : F_SETLK, &lock);
}

static int mark(const char *file, const char *suffix)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.%s", file, suffix);
    return close(open(path, O_CREAT | O_WRONLY, 0666));
}

static int is_there(const char *file, const char *suffix)
{
    char path[4096];
    struct stat found;
    snprintf(path, sizeof path, "%s.%s", file, suffix);
    return stat(path, &found) == 0;
}

static int count(int fd, int times)
{
    for (int i = 0; i < times; i++) {
        char text[32] = "";
        if (set_lock(fd, F_WRLCK, 1) != 0) return 2;
        if (pread(fd, text, sizeof text - 1, 0) < 0) return 3;
        int length = snprintf(text, sizeof text, "%d\n", atoi(text) + 1);
        if (pwrite(fd, text, (size_t)length, 0) != length || set_lock(fd, F_UNLCK, 0) != 0) return 4;
    }
    return 0;
}

static int append(const char *file, const char *word, int times)
{
    int fd = open(file, O_WRONLY | O_APPEND);
    char line[64];
    int length = snprintf(line, sizeof line, "%s\n", word);
    for (int i = 0; i < times; i++)
        if (write(fd, line, (size_t)length) != length) return 5;
    return close(fd);
}

static int map(int fd, int value)
{
    volatile unsigned char *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) return 6;
    bytes[0] = (unsigned char)value;
    if (msync((void *)bytes, 4096, MS_SYNC) != 0) return 7;
    for (int i = 0; i < 100 && bytes[1] != value; i++) {
        unsigned char found[2];
        usleep(100000);
        if (pread(fd, found, 2, 0) != 2) return 8;
    }
    return bytes[1] == value ? 0 : 9;
}

static void ignore(int signal) { (void)signal; }

static int late(int fd, int seconds)
{
    struct sigaction action = {.sa_handler = ignore};
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)seconds);
    return set_lock(fd, F_WRLCK, 1) == -1 && errno == EINTR ? 0 : 10;
}

int main(int argc, char **argv)
{
    if (argc < 4) return 99;
    const char *command = argv[1], *file = argv[2];
    int number = argc > 4 ? atoi(argv[4]) : 1;
    is_flock = strcmp(argv[3], "flock") == 0;
    int fd = open(file, O_RDWR | O_CREAT, 0666);
    if (fd < 0) return 98;
    if (strcmp(command, "try") == 0) return set_lock(fd, F_WRLCK, 0) == 0 ? 0 : errno == EAGAIN ? 1 : 97;
    if (strcmp(command, "count") == 0) return count(fd, number);
    if (strcmp(command, "append") == 0) return append(file, argv[3], number);
    if (strcmp(command, "map") == 0) return map(fd, number);
    if (strcmp(command, "late") == 0) return late(fd, number);
    if (strcmp(command, "wait") == 0) return set_lock(fd, F_WRLCK, 1) == 0 ? mark(file, "got") : 96;
    if (strcmp(command, "hold") != 0 || set_lock(fd, F_WRLCK, 1) != 0) return 95;
    mark(file, "held");
    while (!is_there(file, "go")) usleep(50000);
    return 0;
}
