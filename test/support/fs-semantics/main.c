/*
 * Checks the promises of a file system to programs: POSIX.1-2017 and the man pages of Linux.
 *
 * usage: fs-semantics DIRECTORY [IMAGE-DIRECTORY]        both absolute
 *
 * It works in an empty directory DIRECTORY/fs-semantics.<pid>, which the caller removes. It prints one JSON object a check,
 * {"name": …, "ok": true} or {"name": …, "ok": false, "why": …}, and exits with 0 if all checks could run, whatever they
 * found. IMAGE-DIRECTORY is part of a container's image; the checks of such files change it. Run it as root. It is linked
 * statically, so that it runs in any container.
 */
#include "check.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <grp.h>

const char *image_directory;

static char reason[512];

const char *because(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    return reason;
}

const char *failed(const char *condition, int line)
{
    if (errno == 0) return because("not so: %s (line %d)", condition, line);
    return because("not so: %s (line %d): %s", condition, line, strerror(errno));
}

int make_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, mode);
    if (fd < 0) return -1;
    ssize_t length = (ssize_t)strlen(text);
    if (write(fd, text, (size_t)length) == length && lseek(fd, 0, SEEK_SET) == 0) return fd;
    close(fd);
    return -1;
}

bool write_file(const char *path, const char *text, mode_t mode)
{
    int fd = make_file(path, text, mode);
    return fd >= 0 && close(fd) == 0;
}

bool has_text(const char *path, const char *text)
{
    char found[4096];
    int fd = open(path, O_RDONLY);
    if (fd < 0) return false;
    ssize_t length = read(fd, found, sizeof found);
    close(fd);
    return length == (ssize_t)strlen(text) && memcmp(found, text, (size_t)length) == 0;
}

bool copy_self(const char *path, mode_t mode)
{
    int from = open("/proc/self/exe", O_RDONLY);
    int to = open(path, O_CREAT | O_EXCL | O_WRONLY, mode);
    char buffer[65536];
    ssize_t length = -1;
    while (from >= 0 && to >= 0 && (length = read(from, buffer, sizeof buffer)) > 0)
        if (write(to, buffer, (size_t)length) != length) break;
    close(from);
    return close(to) == 0 && length == 0 && chmod(path, mode) == 0;
}

static int wait_for(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) < 0) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int in_child(child_function run)
{
    pid_t child = fork();
    if (child == 0) _exit(run());
    return wait_for(child);
}

int as_user(child_function run)
{
    pid_t child = fork();
    if (child == 0) {
        gid_t group = USER_GROUP;
        if (setgroups(1, &group) != 0 || setgid(USER) != 0 || setuid(USER) != 0) _exit(99);
        _exit(run());
    }
    return wait_for(child);
}

/* How the program behaves when a check has made a copy of it and runs that. */
static int answer(const char *word)
{
    if (strcmp(word, "ids") == 0) return geteuid() == 0 && getuid() == USER ? EXIT_IS_ROOT : 1;
    if (strcmp(word, "ran") == 0) return EXIT_RAN;
    if (strcmp(word, "sleep") == 0) return sleep(CHECK_SECONDS) == 0 ? 0 : 1;
    if (strcmp(word, "capabilities") != 0) return 1;
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long permitted = 0;
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "CapPrm: %llx", &permitted) == 1) break;
    return (permitted & (1ULL << 10)) != 0 ? EXIT_HAS_CAPABILITY : 1;
}

static void print_text(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') printf("\\%c", byte);
        else if (byte < 0x20 || byte > 0x7e) printf("\\u%04x", byte);
        else putchar(byte);
    }
}

static void report(const char *group, const char *name, const char *why)
{
    printf("{\"name\":\"%s/%s\",\"ok\":%s", group, name, why == NULL ? "true" : "false");
    if (why != NULL) {
        printf(",\"why\":\"");
        print_text(why);
        printf("\"");
    }
    printf("}\n");
    fflush(stdout);
}

/* In a child, so that whatever a check does to itself ends with it; the reason comes back through a pipe. */
static const char *run_check(const char *directory, const struct check *check)
{
    int ends[2];
    if (mkdir(directory, 0755) != 0 || pipe(ends) != 0) return failed("the check has a directory", __LINE__);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        alarm(CHECK_SECONDS);
        umask(022);
        const char *why = chdir(directory) == 0 ? check->run() : "cannot enter the directory";
        if (why != NULL && write(ends[1], why, strlen(why)) < 0) _exit(2);
        _exit(why == NULL ? 0 : 1);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], reason, sizeof reason - 1);
    close(ends[0]);
    reason[length > 0 ? length : 0] = '\0';
    int status = wait_for(child);
    if (status == 0) return NULL;
    if (status == 128 + SIGALRM) return because("not done after %d s", CHECK_SECONDS);
    if (status > 128) return because("ended by signal %d", status - 128);
    return reason[0] == '\0' ? because("ended with status %d", status) : reason;
}

static void run_group(const char *work, const char *group, const struct check *checks)
{
    for (const struct check *check = checks; check->name != NULL; check++) {
        char directory[4096];
        snprintf(directory, sizeof directory, "%s/%s.%s", work, group, check->name);
        report(group, check->name, run_check(directory, check));
    }
}

int main(int count, char **words)
{
    if (count >= 2 && words[1][0] != '/') return answer(words[1]);
    if (count < 2 || count > 3) {
        fprintf(stderr, "usage: %s DIRECTORY [IMAGE-DIRECTORY]\n", words[0]);
        return 2;
    }
    char work[4000];
    snprintf(work, sizeof work, "%s/fs-semantics.%d", words[1], (int)getpid());
    umask(0);
    if (mkdir(work, 0755) != 0) {
        fprintf(stderr, "cannot make %s: %s\n", work, strerror(errno));
        return 2;
    }
    run_group(work, "mapping", mapping_checks);
    run_group(work, "unlinked", unlinked_checks);
    run_group(work, "rename", rename_checks);
    run_group(work, "special", special_checks);
    run_group(work, "owner", owner_checks);
    run_group(work, "lock", lock_checks);
    run_group(work, "attribute", attribute_checks);
    run_group(work, "space", space_checks);
    run_group(work, "directory", directory_checks);
    run_group(work, "program", program_checks);
    if (count == 3) {
        image_directory = words[2];
        run_group(work, "image", image_checks);
    }
    return 0;
}
