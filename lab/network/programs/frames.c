/* Frames of a link, read and forged by packet sockets (packet(7)). */
#include "netprobe.h"
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <sys/ioctl.h>

static const char *mac_text(const unsigned char *mac)
{
	static char texts[2][18];
	static int turn;
	char *text = texts[turn++ & 1];
	sprintf(text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return text;
}

static const char *protocol_of(int number)
{
	switch (number) {
	case IPPROTO_TCP: return "tcp";
	case IPPROTO_UDP: return "udp";
	case IPPROTO_ICMP: return "icmp";
	case IPPROTO_ICMPV6: return "icmp6";
	case IPPROTO_IGMP: return "igmp";
	default: return "other";
	}
}

/* IFACE in|out SRCMAC DSTMAC PROTOCOL SRC DST */
static void print_frame(const unsigned char *data, ssize_t size, const struct sockaddr_ll *from)
{
	char name[IF_NAMESIZE] = "?", source[INET6_ADDRSTRLEN] = "-", target[INET6_ADDRSTRLEN] = "-";
	const char *protocol = "other";
	if (size < 14)
		return;
	int type = data[12] << 8 | data[13];
	const unsigned char *body = data + 14;
	if (type == 0x0800 && size >= 34) {
		inet_ntop(AF_INET, body + 12, source, sizeof source);
		inet_ntop(AF_INET, body + 16, target, sizeof target);
		protocol = protocol_of(body[9]);
	} else if (type == 0x86dd && size >= 54) {
		inet_ntop(AF_INET6, body + 8, source, sizeof source);
		inet_ntop(AF_INET6, body + 24, target, sizeof target);
		/* what is about groups has a header between: a hop-by-hop option */
		protocol = protocol_of(body[6] == 0 ? body[40] : body[6]);
	} else if (type == 0x0806 && size >= 42) {
		inet_ntop(AF_INET, body + 14, source, sizeof source);
		inet_ntop(AF_INET, body + 24, target, sizeof target);
		protocol = "arp";
	}
	if_indextoname(from->sll_ifindex, name);
	printf("%s %s %s %s %s %s %s\n", name, from->sll_pkttype == PACKET_OUTGOING ? "out" : "in", mac_text(data + 6),
	       mac_text(data), protocol, source, target);
}

int capture(const char *link, long milliseconds)
{
	static unsigned char data[1 << 16];
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	if (fd < 0)
		return failed("open");
	if (strcmp(link, "any")) {
		struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
		at.sll_ifindex = if_nametoindex(link);
		if (at.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
			return failed("bind");
	}
	int large = 8 << 20;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof large);
	printf("listening\n");
	double end = now_ms() + milliseconds;
	for (double left; (left = end - now_ms()) > 0;) {
		struct pollfd one = {fd, POLLIN, 0};
		if (poll(&one, 1, (int)left + 1) <= 0)
			continue;
		struct sockaddr_ll from;
		socklen_t length = sizeof from;
		ssize_t size = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &length);
		if (size > 0)
			print_frame(data, size, &from);
	}
	return 0;
}

static uint16_t checksum(const unsigned char *data, int size)
{
	uint32_t sum = 0;
	for (int at = 0; at + 1 < size; at += 2)
		sum += data[at] << 8 | data[at + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

static void own_address(const char *link, void *mac, void *address)
{
	struct ifreq request;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	memset(&request, 0, sizeof request);
	strncpy(request.ifr_name, link, IFNAMSIZ - 1);
	if (mac != NULL && ioctl(fd, SIOCGIFHWADDR, &request) == 0)
		memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	if (address != NULL && ioctl(fd, SIOCGIFADDR, &request) == 0)
		memcpy(address, &((struct sockaddr_in *)&request.ifr_addr)->sin_addr, 4);
	close(fd);
}

int spoof(const char *link, const char *from_mac, const char *from, const char *to_mac, const char *to)
{
	unsigned char frame[14 + 20 + 8 + 8];
	memset(frame, 0, sizeof frame);
	struct ether_addr *mac = ether_aton(to_mac);
	if (mac == NULL)
		return 2;
	memcpy(frame, mac, 6);
	if (!strcmp(from_mac, "own"))
		own_address(link, frame + 6, NULL);
	else if ((mac = ether_aton(from_mac)) != NULL)
		memcpy(frame + 6, mac, 6);
	frame[12] = 0x08;
	struct iphdr *ip = (struct iphdr *)(frame + 14);
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = htons(sizeof frame - 14);
	ip->ttl = 64;
	ip->protocol = IPPROTO_UDP;
	if (!strcmp(from, "own"))
		own_address(link, NULL, &ip->saddr);
	else
		inet_pton(AF_INET, from, &ip->saddr);
	inet_pton(AF_INET, to, &ip->daddr);
	ip->check = checksum((unsigned char *)ip, 20);
	struct udphdr *udp_head = (struct udphdr *)(frame + 34);
	udp_head->source = htons(9);
	udp_head->dest = htons(9);
	udp_head->len = htons(16);
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(link), .sll_halen = 6};
	memcpy(at.sll_addr, frame, 6);
	if (fd < 0 || sendto(fd, frame, sizeof frame, 0, (struct sockaddr *)&at, sizeof at) < 0)
		return failed("send");
	printf("sent\n");
	return 0;
}
