/* execve(2): programs that lie on the file system. */
#include "check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static int run_copy(void)
{
    execl("./copy", "copy", "ran", (char *)NULL);
    return 1;
}

static const char *program_runs_right_after_it_was_written(void)
{
    REQUIRE(copy_self("copy", 0755));
    REQUIRE(in_child(run_copy) == EXIT_RAN);
    return NULL;
}

static const char *replaced_program_is_the_new_one(void)
{
    REQUIRE(write_file("copy", "not a program", 0755) && copy_self("new", 0755));
    REQUIRE(in_child(run_copy) == 1);
    REQUIRE(rename("new", "copy") == 0);
    REQUIRE(in_child(run_copy) == EXIT_RAN);
    return NULL;
}

static const char *program_without_x_is_refused(void)
{
    REQUIRE(copy_self("copy", 0644));
    REQUIRE_ERRNO(access("copy", X_OK), EACCES);
    REQUIRE(in_child(run_copy) == 1);
    return NULL;
}

static int run_script(void)
{
    execl("./script", "script", (char *)NULL);
    return 1;
}

static const char *script_runs_by_its_interpreter(void)
{
    char here[3000], script[4096];
    REQUIRE(copy_self("copy", 0755) && getcwd(here, sizeof here) != NULL);
    if (sizeof "#!/copy\n" + sizeof here > sizeof script) return because("the path is too long");
    snprintf(script, sizeof script, "#!%s/copy ran\n", here);
    REQUIRE(write_file("script", script, 0755));
    REQUIRE(in_child(run_script) == EXIT_RAN);
    return NULL;
}

static const char *running_program_is_not_written_to(void)
{
    REQUIRE(copy_self("copy", 0755));
    int ends[2];
    char byte;
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    pid_t running = fork();
    if (running == 0) {
        execl("./copy", "copy", "sleep", (char *)NULL);
        _exit(1);
    }
    /* the pipe's last writer is gone when the program runs */
    close(ends[1]);
    REQUIRE(read(ends[0], &byte, 1) == 0);
    errno = 0;
    bool refused = open("copy", O_WRONLY) < 0 && errno == ETXTBSY;
    kill(running, SIGKILL);
    waitpid(running, NULL, 0);
    if (!refused) return because("a running program can be opened for writing");
    return NULL;
}

const struct check program_checks[] = {
    {"program_runs_right_after_it_was_written", program_runs_right_after_it_was_written},
    {"replaced_program_is_the_new_one", replaced_program_is_the_new_one},
    {"program_without_x_is_refused", program_without_x_is_refused},
    {"script_runs_by_its_interpreter", script_runs_by_its_interpreter},
    {"running_program_is_not_written_to", running_program_is_not_written_to},
    {NULL, NULL},
};
