/*
 * netprobe: one static program for everything that the network tests do with sockets, in containers and on the host.
 *
 *   serve ADDR PORT WORD [MS]    TCP server; "hello\n" is answered "WORD from PEER\n", the client's end "end BYTES\n"
 *   get ADDR PORT [TIMES]        says hello and prints the answer; or why there is none
 *   ports ADDR PORT TIMES        connects so often; prints which ports of its own it got
 *   half ADDR PORT BYTES         sends so much, ends its half, prints what comes until the other's end
 *   many ADDR PORT COUNT         so many connections at once; prints how many were answered while all were open
 *   serve-udp ADDR PORT WORD, udp ADDR PORT
 *   serve-rate ADDR PORT, rate ADDR PORT send|receive|echo|connect MILLISECONDS [STREAMS]
 *   relay SOCKET                 unix socket; a connection's first line is "ADDR PORT\n", then it is that TCP connection
 *   show                         links, addresses, routes, permanent neighbours (rtnetlink), one a line
 *   capture IFACE MILLISECONDS   frames of a link, one a line; "any" for all
 *   spoof IFACE SRCMAC SRCIP DSTMAC DSTIP   a UDP frame to port 9 as if from another; SRCMAC or SRCIP "own"
 *
 * Addresses are numeric. Exit status 0 if it worked. Must not need a name service: it is static.
 */
#include "netprobe.h"

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	const char *what = argc > 1 ? argv[1] : "";
	char **args = argv + 2;
	int count = argc - 2;
	if (!strcmp(what, "serve") && count >= 3)
		return serve(args[0], args[1], args[2]);
	if (!strcmp(what, "get") && count >= 2)
		return get(args[0], args[1], count > 2 ? atoi(args[2]) : 1);
	if (!strcmp(what, "ports") && count >= 3)
		return ports(args[0], args[1], atoi(args[2]));
	if (!strcmp(what, "half") && count >= 3)
		return half(args[0], args[1], atol(args[2]));
	if (!strcmp(what, "many") && count >= 3)
		return many(args[0], args[1], atoi(args[2]));
	if (!strcmp(what, "serve-udp") && count >= 3)
		return serve_udp(args[0], args[1], args[2]);
	if (!strcmp(what, "udp") && count >= 2)
		return udp(args[0], args[1]);
	if (!strcmp(what, "serve-rate") && count >= 2)
		return serve_rate(args[0], args[1]);
	if (!strcmp(what, "rate") && count >= 4)
		return rate(args[0], args[1], args[2], atol(args[3]), count > 4 ? atoi(args[4]) : 1);
	if (!strcmp(what, "relay") && count >= 1)
		return relay(args[0]);
	if (!strcmp(what, "show"))
		return show();
	if (!strcmp(what, "capture") && count >= 2)
		return capture(args[0], atol(args[1]));
	if (!strcmp(what, "spoof") && count >= 5)
		return spoof(args[0], args[1], args[2], args[3], args[4]);
	fprintf(stderr, "netprobe: see the head of netprobe.c\n");
	return 2;
}
