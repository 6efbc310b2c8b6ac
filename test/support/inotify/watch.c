/*
 * Prints what inotify(7) tells of a directory, a line an event, until a name comes that ends it.
 *
 *   watch DIRECTORY LAST-NAME
 */
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char buffer[4096] __attribute__((aligned(8)));
  int fd = inotify_init1(0);
  if (argc != 3 || fd < 0 || inotify_add_watch(fd, argv[1], IN_MOVED_TO | IN_CREATE | IN_DELETE) < 0) {
    perror("watch");
    return 1;
  }
  puts("watching");
  fflush(stdout);
  for (;;) {
    ssize_t length = read(fd, buffer, sizeof buffer);
    for (char *at = buffer; at < buffer + length; at += sizeof(struct inotify_event) + ((struct inotify_event *)at)->len) {
      const struct inotify_event *event = (const struct inotify_event *)at;
      const char *what = event->mask & IN_MOVED_TO ? "moved" : event->mask & IN_CREATE ? "created" : "deleted";
      printf("%s %s\n", what, event->len ? event->name : "");
      fflush(stdout);
      if (event->mask & IN_MOVED_TO && event->len && !strcmp(event->name, argv[2])) return 0;
    }
  }
}
