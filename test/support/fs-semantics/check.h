/*
 * What all checks of the file-semantics program use.
 *
 * A check is a function that tests one promise. It returns NULL if the file system keeps the promise, else what is wrong.
 * It runs as root in a process and an empty working directory of its own, for at most CHECK_SECONDS, and need not clean up.
 */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define CHECK_SECONDS 60

typedef const char *(*check_function)(void);

struct check {
    const char *name;
    check_function run;
};

/* A group's checks, the last one without a name. */
extern const struct check mapping_checks[];
extern const struct check unlinked_checks[];
extern const struct check rename_checks[];
extern const struct check special_checks[];
extern const struct check owner_checks[];
extern const struct check lock_checks[];
extern const struct check attribute_checks[];
extern const struct check space_checks[];
extern const struct check directory_checks[];
extern const struct check program_checks[];
extern const struct check image_checks[];

/* A directory that came with the image, for image_checks; NULL if none was given. */
extern const char *image_directory;

/* Ends the check if the condition does not hold, telling it and errno. */
#define REQUIRE(condition)                                                                                    \
    do {                                                                                                      \
        errno = 0;                                                                                            \
        if (!(condition)) return failed(#condition, __LINE__);                                                \
    } while (0)

/* Ends the check if a call does not fail with this errno. */
#define REQUIRE_ERRNO(call, expected)                                                                         \
    do {                                                                                                      \
        errno = 0;                                                                                            \
        if ((call) >= 0) return because("%s succeeded (line %d)", #call, __LINE__);                           \
        if (errno != (expected)) return failed(#call " fails with " #expected, __LINE__);                     \
    } while (0)

const char *failed(const char *condition, int line);
const char *because(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes a file with this text; the descriptor, open for reading and writing, or -1. */
int make_file(const char *path, const char *text, mode_t mode);
/* The same, closed again; false if it failed. */
bool write_file(const char *path, const char *text, mode_t mode);
/* Whether the file has this text and no more. */
bool has_text(const char *path, const char *text);
/* Copies this program; false if it failed. */
bool copy_self(const char *path, mode_t mode);

/* What a process does that is not the check's own; 0 = as it should be. */
typedef int (*child_function)(void);

/* Runs it in a child; its exit status, or 128 + the signal that ended it. */
int in_child(child_function run);
/* The same as an ordinary user, 1000:1000, also in group 2000. */
int as_user(child_function run);

#define USER 1000
#define USER_GROUP 2000

/* What this program does when it is run as `program WORD`, see main.c: its exit status says what it found. */
#define EXIT_IS_ROOT 41
#define EXIT_HAS_CAPABILITY 42
#define EXIT_RAN 43

#endif
