/*
 * The server in the images that critest runs as nginx and httpd. usage: nginx PORT WORD
 *
 * critest looks for "master process" in its command line, for its pid in /var/run/nginx.pid, for WORD in its log, and
 * for an answer to GET / at PORT. It has no other file and no configuration.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TITLE "nginx: master process"

static int fail(const char *what) {
  perror(what);
  return 1;
}

static void stop(int number) {
  (void)number;
  _exit(0);
}

static void write_pid(void) {
  FILE *file = fopen("/var/run/nginx.pid", "w");
  if (file == NULL) return;
  fprintf(file, "%d\n", (int)getpid());
  fclose(file);
}

static void answer(int client) {
  static const char page[] =
      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";
  char request[4096];
  if (read(client, request, sizeof request) > 0 && write(client, page, sizeof page - 1) < 0) perror("answer");
  close(client);
}

int main(int count, char **words) {
  if (count != 3) return fputs("usage: nginx PORT WORD\n", stderr), 2;
  /* the title has to be in the command line, so the program starts itself once more under it */
  if (strcmp(words[0], TITLE) != 0) {
    char *again[] = {TITLE, words[1], words[2], NULL};
    execv("/usr/sbin/nginx", again);
    return fail("start /usr/sbin/nginx");
  }
  signal(SIGTERM, stop);
  signal(SIGQUIT, stop);
  signal(SIGPIPE, SIG_IGN);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(server, (struct sockaddr *)&address, sizeof address) < 0) return fail("bind");
  if (listen(server, 64) < 0) return fail("listen");
  write_pid();
  printf("%s serves port %s\n", words[2], words[1]);
  fflush(stdout);
  for (;;) {
    int client = accept(server, NULL, NULL);
    if (client >= 0) answer(client);
  }
}
