/* What the parts of netprobe share: see netprobe.c for what each command does. */
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>

struct endpoint {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t length;
};

/* Numeric address and port; ends the program if they are none. */
struct endpoint endpoint_of(const char *address, const char *port);
/* A connected socket, or -1 with errno. */
int dial(struct endpoint to);
/* A listening socket; ends the program if there is none. */
int listen_at(struct endpoint at);
/* "10.0.0.2", without the port; v4 in v6 as v4. */
const char *peer_of(const struct sockaddr *address);
/* 0 for success, or prints errno in a word: refused, timeout, unreachable, … */
int failed(const char *what);
double now_ms(void);
/* fork(2); the child ends with its parent, so that a server which is killed leaves no connection of its own. */
pid_t fork_child(void);
/* All of it, or -1. */
int write_all(int fd, const void *data, size_t size);

int serve(const char *address, const char *port, const char *word);
int get(const char *address, const char *port, int times);
int ports(const char *address, const char *port, int times);
int half(const char *address, const char *port, long bytes);
int many(const char *address, const char *port, int count);
int serve_udp(const char *address, const char *port, const char *word);
int udp(const char *address, const char *port);
int serve_rate(const char *address, const char *port);
int rate(const char *address, const char *port, const char *what, long milliseconds, int streams);
int relay(const char *path);
int show(void);
int capture(const char *link, long milliseconds);
int spoof(const char *link, const char *from_mac, const char *from, const char *to_mac, const char *to);
