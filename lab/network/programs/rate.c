/* Rates: bytes one way, round trips, connections; and the relay into a namespace. */
#include "netprobe.h"
#include <sys/un.h>

#define BLOCK (128 * 1024)

static char block[BLOCK];

static void splice_both(int a, int b)
{
	static char data[1 << 16];
	struct pollfd fds[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
	int open = 2;
	while (open > 0 && poll(fds, 2, -1) > 0) {
		for (int each = 0; each < 2; each++) {
			if (!(fds[each].revents & (POLLIN | POLLHUP | POLLERR)))
				continue;
			int other = each == 0 ? b : a;
			ssize_t size = read(fds[each].fd, data, sizeof data);
			if (size > 0 && write_all(other, data, size) == 0)
				continue;
			if (size < 0)
				return;
			shutdown(other, SHUT_WR);
			fds[each].fd = -1;
			open--;
		}
	}
}

/* Each connection has a process of its own. Never returns. */
static int serve_each(int server, void (*serve)(int fd))
{
	signal(SIGCHLD, SIG_IGN);
	printf("listening\n");
	for (;;) {
		int fd = accept(server, NULL, NULL);
		if (fd < 0)
			continue;
		if (fork_child() == 0) {
			close(server);
			serve(fd);
			_exit(0);
		}
		close(fd);
	}
}

static void relay_one(int client)
{
	char line[128], address[64], port[16];
	size_t length = 0;
	while (length + 1 < sizeof line && read(client, line + length, 1) == 1 && line[length] != '\n')
		length++;
	line[length] = 0;
	if (sscanf(line, "%63s %15s", address, port) != 2)
		return;
	int fd = dial(endpoint_of(address, port));
	if (fd < 0)
		return;
	struct timeval never = {0, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &never, sizeof never);
	splice_both(client, fd);
}

int relay(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	strncpy(at.sun_path, path, sizeof at.sun_path - 1);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server, (struct sockaddr *)&at, sizeof at) < 0 || listen(server, 512) < 0)
		return failed("listen");
	return serve_each(server, relay_one);
}

/* The first byte says what the client wants: s it sends, r it receives, e its bytes come back one by one. */
static void serve_one(int fd)
{
	char what = 0;
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (read(fd, &what, 1) != 1)
		return;
	if (what == 's') {
		long sum = 0;
		ssize_t size;
		while ((size = read(fd, block, sizeof block)) > 0)
			sum += size;
		write_all(fd, &sum, sizeof sum);
	} else if (what == 'r') {
		while (write_all(fd, block, sizeof block) == 0)
			;
	} else {
		char byte;
		while (read(fd, &byte, 1) == 1 && write_all(fd, &byte, 1) == 0)
			;
	}
}

int serve_rate(const char *address, const char *port)
{
	int server = listen_at(endpoint_of(address, port));
	return serve_each(server, serve_one);
}

static int compare(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;
	return difference < 0 ? -1 : difference > 0;
}

/* What one stream has done: bytes or times, and in which time. */
struct done {
	double count;
	double ms;
	double p50;
	double p99;
};

static struct done run_stream(struct endpoint to, const char *what, long milliseconds)
{
	static double times[1 << 20];
	long many = 0;
	struct done done = {0, 0, 0, 0};
	int fd = -1;
	char kind = !strcmp(what, "send") ? 's' : !strcmp(what, "receive") ? 'r' : 'e';
	if (strcmp(what, "connect")) {
		fd = dial(to);
		if (fd < 0 || write_all(fd, &kind, 1) < 0)
			exit(failed("connect"));
	}
	double begin = now_ms(), end = begin + milliseconds, now;
	while ((now = now_ms()) < end) {
		if (kind == 's') {
			if (write_all(fd, block, sizeof block) < 0)
				exit(failed("send"));
		} else if (kind == 'r') {
			ssize_t size = read(fd, block, sizeof block);
			if (size <= 0)
				exit(failed("receive"));
			done.count += size;
		} else {
			char byte = 'e';
			if (!strcmp(what, "connect")) {
				fd = dial(to);
				if (fd < 0 || write_all(fd, &kind, 1) < 0)
					exit(failed("connect"));
			}
			if (write_all(fd, &byte, 1) < 0 || read(fd, &byte, 1) != 1)
				exit(failed("talk"));
			if (!strcmp(what, "connect"))
				close(fd);
			if (many < (1 << 20))
				times[many++] = now_ms() - now;
			done.count++;
		}
	}
	if (kind == 's') {
		long sum = 0;
		struct timeval limit = {30, 0};
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
		shutdown(fd, SHUT_WR);
		/* counted when all of it has come: buffers on the way are no rate */
		if (read(fd, &sum, sizeof sum) != sizeof sum)
			exit(failed("count"));
		done.count = sum;
	}
	done.ms = now_ms() - begin;
	if (many > 0) {
		qsort(times, many, sizeof *times, compare);
		done.p50 = times[many / 2] * 1000;
		done.p99 = times[many * 99 / 100] * 1000;
	}
	return done;
}

int rate(const char *address, const char *port, const char *what, long milliseconds, int streams)
{
	struct endpoint to = endpoint_of(address, port);
	int pipes[2];
	if (pipe(pipes) < 0)
		return failed("pipe");
	for (int each = 0; each < streams; each++) {
		if (fork_child() == 0) {
			struct done done = run_stream(to, what, milliseconds);
			write_all(pipes[1], &done, sizeof done);
			_exit(0);
		}
	}
	close(pipes[1]);
	struct done sum = {0, 0, 0, 0}, done;
	int ended = 0;
	while (read(pipes[0], &done, sizeof done) == sizeof done) {
		sum.count += done.count;
		sum.ms = done.ms > sum.ms ? done.ms : sum.ms;
		sum.p50 = done.p50 > sum.p50 ? done.p50 : sum.p50;
		sum.p99 = done.p99 > sum.p99 ? done.p99 : sum.p99;
		ended++;
	}
	if (ended < streams)
		return 1;
	printf("{\"count\":%.0f,\"ms\":%.3f,\"p50us\":%.1f,\"p99us\":%.1f}\n", sum.count, sum.ms, sum.p50, sum.p99);
	return 0;
}
