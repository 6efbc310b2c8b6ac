/*
 * PID 1 of the guest: starts the engine, reaps orphans, and starts the engine again when it crashes.
 *
 * The kernel panics when PID 1 ends, and the engine may crash. So PID 1 is this loop, in which little can go wrong. It
 * holds no policy: the agent decides what a restarted engine does about running containers.
 */
#include "supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHORT_LIFE_S 1
#define PAUSE_NS 200000000L /* before a restart after a short life, so that a crash loop does not use up the CPU */

static pid_t start_engine(int argc, char **argv, int (*engine)(int, char **), int restarts) {
  char count[16];
  sigset_t none;
  pid_t pid = fork();
  if (pid != 0) return pid;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  snprintf(count, sizeof count, "%d", restarts);
  setenv("BLAZAR_ENGINE_RESTARTS", count, 1);
  int status = engine(argc, argv);
  fflush(NULL);
  _exit(status);
}

static void report(pid_t pid, int status) {
  if (WIFSIGNALED(status))
    dprintf(STDERR_FILENO, "{\"level\":\"error\",\"msg\":\"engine killed\",\"pid\":%d,\"signal\":%d}\n", pid,
            WTERMSIG(status));
  else
    dprintf(STDERR_FILENO, "{\"level\":\"error\",\"msg\":\"engine exited\",\"pid\":%d,\"status\":%d}\n", pid,
            WEXITSTATUS(status));
}

static void power_off(void) {
  sync();
  reboot(RB_POWER_OFF);
  _exit(0); /* reached only where reboot(2) is refused, as in a test's namespace */
}

/* Reaps all children that have ended. Returns whether the engine was among them. */
static int reap(pid_t engine, int *engine_status) {
  int status, ended = 0;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != engine) continue;
    *engine_status = status;
    ended = 1;
  }
  return ended;
}

void supervise(int argc, char **argv, int (*engine)(int, char **)) {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGTERM);
  sigprocmask(SIG_BLOCK, &watched, NULL);
  for (int restarts = 0;; restarts++) {
    time_t started = time(NULL);
    int status = 0;
    pid_t pid = start_engine(argc, argv, engine, restarts);
    if (pid < 0) dprintf(STDERR_FILENO, "{\"level\":\"error\",\"msg\":\"the engine could not be started\",\"errno\":%d}\n", errno);
    while (pid > 0 && !reap(pid, &status))
      if (sigwaitinfo(&watched, NULL) == SIGTERM) power_off();
    if (pid > 0) report(pid, status);
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) power_off();
    if (time(NULL) - started <= SHORT_LIFE_S) nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
  }
}
