/* PID 1 of the guest (supervisor.c). */
#ifndef BLAZAR_SUPERVISOR_H
#define BLAZAR_SUPERVISOR_H

/* Runs `engine` in a child, again and again. Powers the machine off when it ends with 0, or when SIGTERM arrives. */
_Noreturn void supervise(int argc, char **argv, int (*engine)(int, char **));

#endif
