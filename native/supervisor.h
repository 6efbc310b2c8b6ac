/* PID 1 of the guest; see supervisor.c. */
#ifndef BLAZAR_SUPERVISOR_H
#define BLAZAR_SUPERVISOR_H

/* Runs `engine` in a child for ever; powers the machine off when it ends with 0 or SIGTERM comes. */
_Noreturn void supervise(int argc, char **argv, int (*engine)(int, char **));

#endif
