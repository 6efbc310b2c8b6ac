/* Small talk by TCP and UDP: servers that say who asked, clients that say what came of it. */
#include "netprobe.h"

#define TIMEOUT_MS 30000

struct endpoint endpoint_of(const char *address, const char *port)
{
	struct endpoint at;
	memset(&at, 0, sizeof at);
	if (inet_pton(AF_INET, address, &at.address.v4.sin_addr) == 1) {
		at.address.v4.sin_family = AF_INET;
		at.address.v4.sin_port = htons(atoi(port));
		at.length = sizeof at.address.v4;
		return at;
	}
	if (inet_pton(AF_INET6, address, &at.address.v6.sin6_addr) == 1) {
		at.address.v6.sin6_family = AF_INET6;
		at.address.v6.sin6_port = htons(atoi(port));
		at.length = sizeof at.address.v6;
		return at;
	}
	fprintf(stderr, "netprobe: no address: %s\n", address);
	exit(2);
}

int dial(struct endpoint to)
{
	int fd = socket(to.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	struct timeval limit = {TIMEOUT_MS / 1000, 0};
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, &to.address.any, to.length) < 0) {
		int why = errno;
		close(fd);
		errno = why;
		return -1;
	}
	return fd;
}

int listen_at(struct endpoint at)
{
	int fd = socket(at.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	/* `::` is for v4, too; an address that is not there yet is an error */
	if (bind(fd, &at.address.any, at.length) < 0 || listen(fd, 512) < 0) {
		exit(failed("listen"));
	}
	return fd;
}

const char *peer_of(const struct sockaddr *address)
{
	static char text[INET6_ADDRSTRLEN];
	if (address->sa_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, sizeof text);
		return text;
	}
	inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, sizeof text);
	return strncmp(text, "::ffff:", 7) ? text : text + 7;
}

pid_t fork_child(void)
{
	pid_t parent = getpid(), child = fork();
	if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(1);
	return child;
}

int failed(const char *what)
{
	const char *why = strerror(errno);
	if (errno == ECONNREFUSED)
		why = "refused";
	else if (errno == ETIMEDOUT || errno == EAGAIN || errno == EINPROGRESS)
		why = "timeout";
	else if (errno == EHOSTUNREACH || errno == ENETUNREACH)
		why = "unreachable";
	else if (errno == ECONNRESET)
		why = "reset";
	else if (errno == EADDRINUSE)
		why = "in use";
	printf("%s: %s\n", what, why);
	return 1;
}

double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int write_all(int fd, const void *data, size_t size)
{
	for (const char *at = data; size > 0;) {
		ssize_t done = write(fd, at, size);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		at += done;
		size -= done;
	}
	return 0;
}

static void answer(int fd, const char *word, const char *peer)
{
	static char data[1 << 16];
	char text[128];
	long bytes = 0;
	ssize_t size;
	while ((size = read(fd, data, sizeof data)) > 0) {
		bytes += size;
		if (size >= 6 && !memcmp(data + size - 6, "hello\n", 6)) {
			snprintf(text, sizeof text, "%s from %s\n", word, peer);
			write_all(fd, text, strlen(text));
		}
	}
	snprintf(text, sizeof text, "end %ld\n", bytes);
	write_all(fd, text, strlen(text));
	close(fd);
}

int serve(const char *address, const char *port, const char *word)
{
	int server = listen_at(endpoint_of(address, port));
	signal(SIGCHLD, SIG_IGN);
	printf("listening\n");
	for (;;) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof peer;
		int fd = accept(server, (struct sockaddr *)&peer, &length);
		if (fd < 0)
			continue;
		if (fork_child() == 0) {
			close(server);
			answer(fd, word, peer_of((struct sockaddr *)&peer));
			_exit(0);
		}
		close(fd);
	}
}

/* One answer's line. */
static int hello(int fd, char *text, size_t room)
{
	if (write_all(fd, "hello\n", 6) < 0)
		return -1;
	size_t length = 0;
	while (length + 1 < room && (length == 0 || text[length - 1] != '\n')) {
		ssize_t size = read(fd, text + length, room - 1 - length);
		if (size < 0)
			return -1;
		if (size == 0)
			break;
		length += size;
	}
	text[length] = 0;
	return 0;
}

int get(const char *address, const char *port, int times)
{
	char text[256] = "";
	for (int each = 0; each < times; each++) {
		int fd = dial(endpoint_of(address, port));
		if (fd < 0)
			return failed("connect");
		if (hello(fd, text, sizeof text) < 0)
			return failed("talk");
		close(fd);
	}
	printf("%s", *text ? text : "nothing\n");
	return *text ? 0 : 1;
}

int ports(const char *address, const char *port, int times)
{
	for (int each = 0; each < times; each++) {
		struct sockaddr_in6 own;
		socklen_t length = sizeof own;
		int fd = dial(endpoint_of(address, port));
		if (fd < 0)
			return failed("connect");
		getsockname(fd, (struct sockaddr *)&own, &length);
		printf("%d ", ntohs(own.sin6_port));
		close(fd);
	}
	printf("\n");
	return 0;
}

int half(const char *address, const char *port, long bytes)
{
	static char data[1 << 16];
	int fd = dial(endpoint_of(address, port));
	if (fd < 0)
		return failed("connect");
	for (long left = bytes; left > 0; left -= sizeof data)
		if (write_all(fd, data, left < (long)sizeof data ? (size_t)left : sizeof data) < 0)
			return failed("send");
	shutdown(fd, SHUT_WR);
	ssize_t size;
	while ((size = read(fd, data, sizeof data)) > 0)
		fwrite(data, 1, size, stdout);
	return size < 0 ? failed("receive") : 0;
}

int many(const char *address, const char *port, int count)
{
	int *fds = calloc(count, sizeof *fds), answered = 0;
	char text[256];
	for (int each = 0; each < count; each++)
		fds[each] = dial(endpoint_of(address, port));
	for (int each = 0; each < count; each++)
		answered += fds[each] >= 0 && hello(fds[each], text, sizeof text) == 0 && *text != 0;
	printf("%d answered\n", answered);
	return answered == count ? 0 : 1;
}

int serve_udp(const char *address, const char *port, const char *word)
{
	struct endpoint at = endpoint_of(address, port);
	int fd = socket(at.address.any.sa_family, SOCK_DGRAM, 0);
	if (bind(fd, &at.address.any, at.length) < 0)
		return failed("bind");
	printf("listening\n");
	for (;;) {
		char data[2048], text[256];
		struct sockaddr_storage peer;
		socklen_t length = sizeof peer;
		if (recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&peer, &length) < 0)
			continue;
		snprintf(text, sizeof text, "%s from %s\n", word, peer_of((struct sockaddr *)&peer));
		sendto(fd, text, strlen(text), 0, (struct sockaddr *)&peer, length);
	}
}

int udp(const char *address, const char *port)
{
	struct endpoint to = endpoint_of(address, port);
	int fd = socket(to.address.any.sa_family, SOCK_DGRAM, 0);
	struct timeval limit = {1, 0};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, &to.address.any, to.length) < 0)
		return failed("connect");
	char text[256];
	for (int each = 0; each < 5; each++) {
		if (send(fd, "hello\n", 6, 0) < 0 && errno != ECONNREFUSED)
			return failed("send");
		ssize_t size = recv(fd, text, sizeof text - 1, 0);
		if (size > 0) {
			text[size] = 0;
			printf("%s", text);
			return 0;
		}
		if (errno == ECONNREFUSED)
			return failed("receive");
	}
	return failed("receive");
}
