/*
 * A hostile agent: runs as root of a guest, outside of its containers, stops the agent's engine, takes its open port, and speaks
 * to the daemon in the middle of a session that was in order until then.
 *
 *   impostor random | zeros | huge | bytewise | acks | data | hellos | events | lies | deep | silent | yes | gone
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HELLO = 1, REQUEST = 2, RESPONSE = 3, EVENT = 4, DATA = 5, ACK = 7, HEADER = 17, STREAMS = 5, MEBIBYTE = 1 << 20 };
/* What a terminal would obey, as JSON: a title, a cleared screen, C1's CSI, a turned direction, a line of its own. */
#define WORDS "\\u001b]0;owned\\u0007\\u001b[2J\\u009b2J\\u202e\\r\\n{\\\"level\\\":60}"

static int port = -1;
static char page[2 * MEBIBYTE];

static void fail(const char *what) {
  fprintf(stderr, "impostor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void find_device(char *path, size_t size) {
  DIR *all = opendir("/sys/class/virtio-ports");
  for (struct dirent *each; all != NULL && (each = readdir(all)) != NULL;) {
    char name[300], text[64] = "";
    snprintf(name, sizeof name, "/sys/class/virtio-ports/%s/name", each->d_name);
    int file = open(name, O_RDONLY);
    if (file < 0) continue;
    if (read(file, text, sizeof text - 1) > 0 && strncmp(text, "blazar.agent.", 13) == 0) {
      snprintf(path, size, "/dev/%s", each->d_name);
      return;
    }
    close(file);
  }
  fail("find the agent's port");
}

/* Of the process that has the device open: its end of the port. The process is stopped, and not ended. */
static int taken_from(long pid, const char *device) {
  char path[300], target[300];
  snprintf(path, sizeof path, "/proc/%ld/fd", pid);
  DIR *all = opendir(path);
  if (all == NULL) return -1;
  int found = -1;
  for (struct dirent *each; found < 0 && (each = readdir(all)) != NULL;) {
    snprintf(path, sizeof path, "/proc/%ld/fd/%.200s", pid, each->d_name);
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size <= 0 || (target[size] = '\0', strcmp(target, device) != 0)) continue;
    int process = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (kill((pid_t)pid, SIGSTOP) < 0 || process < 0) fail("stop the engine");
    usleep(20000);
    if ((found = (int)syscall(SYS_pidfd_getfd, process, atoi(each->d_name), 0)) < 0) fail("take its port");
  }
  closedir(all);
  return found;
}

static void take_port(void) {
  char device[300];
  find_device(device, sizeof device);
  DIR *all = opendir("/proc");
  for (struct dirent *each; port < 0 && (each = readdir(all)) != NULL;) {
    long pid = atol(each->d_name);
    if (pid > 1 && pid != getpid()) port = taken_from(pid, device);
  }
  if (port < 0) fail("find the engine");
}

static void say(const void *bytes, size_t size) {
  for (const char *at = bytes; size > 0;) {
    ssize_t done = write(port, at, size);
    if (done > 0) {
      at += done;
      size -= (size_t)done;
    } else if (errno == EAGAIN) {
      struct pollfd ready = {port, POLLOUT, 0};
      poll(&ready, 1, 1000);
    } else if (errno != EINTR) {
      /* the host has left: it may come back */
      usleep(100000);
    }
  }
}

static size_t put_frame(char *at, int type, uint32_t stream, uint64_t sequence, const void *payload, size_t size) {
  uint32_t length = (uint32_t)(HEADER - 4 + size);
  for (int index = 0; index < 4; index++) at[index] = (char)(length >> (24 - 8 * index));
  at[4] = (char)type;
  for (int index = 0; index < 4; index++) at[5 + index] = (char)(stream >> (24 - 8 * index));
  for (int index = 0; index < 8; index++) at[9 + index] = (char)(sequence >> (56 - 8 * index));
  if (size > 0) memcpy(at + HEADER, payload, size);
  return HEADER + size;
}

static void say_text(int type, uint64_t sequence, const char *text) {
  static char frame[4096];
  say(frame, put_frame(frame, type, 0, sequence, text, strlen(text)));
}

static void hello(unsigned life) {
  char text[1024];
  snprintf(text, sizeof text,
           "{\"version\":1,\"minor\":1,\"session\":\"s%u\",\"eventsHandled\":0,\"answers\":\"\",\"streams\":0,\"body\":{\"role\":"
           "\"guest\",\"agent\":\"" WORDS "\",\"kernel\":\"" WORDS "\",\"timeline\":{\"" WORDS "\":1}}}",
           life);
  say_text(HELLO, 0, text);
}

static void flood(int type) {
  /* the host's streams of the pod's processes are among the first */
  for (uint64_t offset = 0;;) {
    static const char credit[4] = {0, 1, 0, 0};
    size_t size = 0;
    for (uint32_t round = 0; round < 512; round++, offset++)
      for (uint32_t stream = 1; stream <= STREAMS; stream++)
        size += put_frame(page + size, type, stream, type == ACK ? 0 : offset, credit, type == ACK ? 4 : 1);
    say(page, size);
  }
}

static void events(void) {
  static const char *const texts[] = {
      "{\"event\":\"agent.log\",\"params\":{\"level\":\"error\",\"message\":\"" WORDS "\"}}",
      "{\"event\":\"process.exited\",\"params\":{\"id\":\"" WORDS "\",\"execId\":\"\",\"status\":7,\"returned\":[]}}",
      "{\"event\":\"container.oomKilled\",\"params\":{\"id\":\"" WORDS "\"}}",
  };
  for (uint64_t number = 1;; number++) say_text(EVENT, number, texts[number % 3]);
}

/* Reads what the daemon asks, and answers each request. */
static void answer(const char *const *texts, size_t count) {
  size_t have = 0, next = 0;
  for (;;) {
    struct pollfd ready = {port, POLLIN, 0};
    poll(&ready, 1, 1000);
    ssize_t size = read(port, page + have, MEBIBYTE);
    if (size <= 0) {
      usleep(10000);
      continue;
    }
    have += (size_t)size;
    size_t at = 0;
    while (have - at >= HEADER) {
      const unsigned char *frame = (unsigned char *)page + at;
      size_t length = 4 + ((size_t)frame[0] << 24 | (size_t)frame[1] << 16 | (size_t)frame[2] << 8 | frame[3]);
      uint64_t sequence = 0;
      if (length > MEBIBYTE) fail("read the daemon's frames");
      if (have - at < length) break;
      for (int index = 0; index < 8; index++) sequence = sequence << 8 | frame[9 + index];
      if (frame[4] == REQUEST) say_text(RESPONSE, sequence, texts[next++ % count]);
      at += length;
    }
    memmove(page, page + at, have -= at);
  }
}

static void lies(void) {
  static const char *const texts[] = {
      "{\"ok\":false,\"error\":{\"code\":\"GuestFailed\",\"operation\":\"" WORDS "\",\"subject\":\"" WORDS "\",\"reason\":\"" WORDS
      "\",\"remedy\":\"" WORDS "\"}}",
      "{\"ok\":false,\"error\":{\"code\":\"KeeperLost\",\"operation\":\"talk to the guest\",\"reason\":\"" WORDS "\"}}",
      "{\"ok\":false,\"error\":{\"code\":\"__proto__\",\"operation\":{},\"reason\":[]},\"steps\":[[\"" WORDS "\",0,1]]}",
      "{\"ok\":true,\"result\":{\"pid\":1,\"pids\":[{\"pid\":4294967295,\"execId\":\"" WORDS "\"}],\"files\":{\"" WORDS
      "\":\"x\",\"memory.current\":\"" WORDS "\"},\"now\":9007199254740991},\"steps\":[[\"" WORDS "\",0,1]]}",
      "{\"ok\":true,\"result\":null}",
      "{\"ok\":true,\"result\":{\"__proto__\":{\"alive\":true},\"constructor\":1,\"pid\":-1,\"files\":{\"memory.current\":1e400}}}",
  };
  answer(texts, sizeof texts / sizeof *texts);
}

/* Whatever is asked is done, or there is nothing that it could be done to: nothing ever comes of it. */
static void nothing_done(int is_there) {
  const char *const texts[] = {
      is_there ? "{\"ok\":true,\"result\":{}}"
               : "{\"ok\":false,\"error\":{\"code\":\"ContainerNotFound\",\"operation\":\"send a signal\",\"reason\":\"no such "
                 "container\"}}",
  };
  answer(texts, 1);
}

/* Data of a depth that recursion does not survive, in an event that the daemon has to look into. */
static void deep(void) {
  static char text[MEBIBYTE];
  const char *before = "{\"event\":\"process.exited\",\"params\":";
  size_t length = MEBIBYTE - 64, at = strlen(before);
  memset(text, '[', length);
  memcpy(text, before, at);
  memset(text + at + (length - at) / 2, ']', (length - at) / 2);
  text[at + (length - at) / 2 * 2] = '}';
  for (uint64_t number = 1;; number++)
    say(page, put_frame(page, EVENT, 0, number, text, at + (length - at) / 2 * 2 + 1));
}

int main(int count, char **arguments) {
  const char *mode = count > 1 ? arguments[1] : "";
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  setsid();
  take_port();
  /* for whoever looks at the guest's console whether this has begun */
  FILE *console = fopen("/dev/console", "w");
  if (console != NULL) {
    fprintf(console, "impostor: %s\033[2J\033]0;owned\007\n", mode);
    fclose(console);
  }
  sleep(2);
  if (strcmp(mode, "lies") == 0) lies();
  if (strcmp(mode, "events") == 0) events();
  if (strcmp(mode, "deep") == 0) deep();
  if (strcmp(mode, "acks") == 0) flood(ACK);
  if (strcmp(mode, "data") == 0) flood(DATA);
  if (strcmp(mode, "yes") == 0 || strcmp(mode, "gone") == 0) nothing_done(strcmp(mode, "yes") == 0);
  if (strcmp(mode, "silent") == 0) pause();
  if (strcmp(mode, "bytewise") == 0) {
    char head[HEADER];
    put_frame(head, EVENT, 0, 1, NULL, 0);
    head[1] = 0x0f; /* all but a MiB is still to come */
    say(head, HEADER);
    for (;;) say("x", 1);
  }
  int random = open("/dev/urandom", O_RDONLY);
  for (unsigned life = 1;; life++) {
    if (strcmp(mode, "hellos") == 0) hello(life);
    else if (strcmp(mode, "huge") == 0) {
      put_frame(page, DATA, 1, 0, NULL, 0);
      memset(page, 0xff, 4);
      say(page, HEADER);
    } else if (strcmp(mode, "random") == 0 && read(random, page, 65536) > 0) say(page, 65536);
    else if (strcmp(mode, "zeros") == 0) say(page, 65536);
    else return 2;
  }
}
