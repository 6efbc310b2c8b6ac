/*
 * A process that mostly holds a recursive mutex, and waits for a moment between. It exits with 1 when it cannot unlock it.
 *
 * Such a mutex knows its owner by the thread's id, and a fork's thread has another one. Ends with 0 after some rounds.
 */
#include <poll.h>
#include <pthread.h>
#include <time.h>

enum { ROUNDS = 200, HELD_MS = 4, WAIT_MS = 1 };

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(void) {
  pthread_mutexattr_t recursive;
  pthread_mutex_t mutex;
  pthread_mutexattr_init(&recursive);
  pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&mutex, &recursive);
  for (int round = 0; round < ROUNDS; round++) {
    pthread_mutex_lock(&mutex);
    for (long until = now_ms() + HELD_MS; now_ms() < until;) continue;
    if (pthread_mutex_unlock(&mutex) != 0) return 1;
    poll(NULL, 0, WAIT_MS);
  }
  return 0;
}
