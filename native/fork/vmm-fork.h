/*
 * What the files of the fork library share: the words of a request, and the steps of a fork.
 *
 * "The original" is the process that is asked to fork; "the copy" is the new process. While threads are stopped no
 * function here may use malloc or stdio: a stopped thread may hold their locks. An error ends the copy, never the
 * original.
 */
#ifndef BLAZAR_VMM_FORK_H
#define BLAZAR_VMM_FORK_H

#include <linux/filter.h>
#include <stdbool.h>

/* The words of a request, in their order; vmm-fork.c describes them. */
enum {
  WORD_UID,
  WORD_GID,
  WORD_CAPABILITIES,
  WORD_NAME,
  WORD_JAIL,
  FIRST_KEY,
};

/* The socket on which requests arrive; -1 when this process cannot be forked. (vmm-fork.c) */
extern int control;
/* This process in /proc (O_PATH), which stays there when the VMM has no /proc any more. (vmm-fork.c) */
extern int proc_self;
/* The system call filter that the VMM asked for. Only copies load it. (vmm-fork.c) */
extern struct sock_fprog filter;
/* The system call filters of a copy's jail, which it loads before that; an empty one is none. (vmm-fork.c) */
enum { MAX_WALLS = 2 };
extern struct sock_fprog walls[MAX_WALLS];
/* The value of -name in the command line, or NULL. (vmm-fork.c) */
extern char *shown_name;

/* This process never becomes another program; ends it if that cannot be had. (programs.c) */
void programs_forbid(void);

/* Handles STOP_SIGNAL from now on. Returns whether that worked. (threads.c) */
bool threads_begin(void);
/*
 * Stops all other threads, each where it waits in a system call. Returns how many, or -errno; EBUSY: some thread never waits. The
 * caller calls threads_let_go in both cases. (threads.c)
 */
int threads_stop_others(void);
void threads_let_go(void);
/* In the copy: this thread is the only one, and the kernel has given it a new id. (threads.c) */
void threads_enter_copy(void);
/* In the copy: clones the stopped threads anew, on their old stacks. (threads.c) */
void threads_restart(int count);

/*
 * In the original: notes what every descriptor is, and which of the request's takes its place in the copy. A key is
 * "DEVICE:INODE" of an open file, "socket:NAME" of a listening socket, or "tap:NUMBER" of a tap's descriptor. Returns 0 or
 * -errno. (descriptors.c)
 */
int descriptors_describe(char **keys, const int *given, int count);
/* In the copy: gives it descriptors of its own under the numbers of the original's. (descriptors.c) */
void descriptors_renew(const int *given, int count);

/* In the copy: sets of the tap at this number all that was set of the original's. Returns whether that worked. (taps.c) */
bool taps_repeat(int place);

/* Everything that the copy does before its threads run again. (copy.c) */
void __attribute__((noreturn)) become_whole(char **words, const int *given, int count, int others);
/* Says something in the VMM's log, which the copy shares with the original until it has replaced it. (copy.c) */
void complain(const char *what, const char *name);
/* Ends the copy. (copy.c) */
void __attribute__((noreturn)) give_up(const char *what, const char *name);

#endif
