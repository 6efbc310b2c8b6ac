/* Prints the name of whatever is moved into a directory, a line each, as inotify(7) tells of it. */
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

int main(int count, char **arguments) {
  _Alignas(struct inotify_event) char events[4096];
  int watch = inotify_init1(IN_CLOEXEC);
  if (count != 2 || watch < 0 || inotify_add_watch(watch, arguments[1], IN_MOVED_TO) < 0) return 1;
  puts("watching");
  fflush(stdout);
  for (;;) {
    ssize_t size = read(watch, events, sizeof events);
    if (size <= 0) return 2;
    for (char *at = events; at < events + size;) {
      struct inotify_event *event = (struct inotify_event *)at;
      if (event->len > 0) puts(event->name);
      at += sizeof *event + event->len;
    }
    fflush(stdout);
  }
}
