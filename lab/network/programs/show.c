/*
 * What a network namespace has, by rtnetlink(7): links, addresses, the main table's routes, permanent neighbours.
 * Nothing that differs from boot to boot is printed: no index, no queue, no counter, no lifetime.
 */
#include "netprobe.h"
#include <net/if.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

typedef void (*printer)(struct nlmsghdr *message);

static const char *name_of(int index)
{
	static char name[IF_NAMESIZE];
	return if_indextoname(index, name) == NULL ? "?" : name;
}

static const char *text_of(int family, const void *address)
{
	static char texts[4][INET6_ADDRSTRLEN];
	static int turn;
	char *text = texts[turn++ & 3];
	return inet_ntop(family, address, text, INET6_ADDRSTRLEN) == NULL ? "?" : text;
}

/* The attributes of a message, by their kind. */
static void attributes(struct rtattr *first, int length, struct rtattr **found, int most)
{
	memset(found, 0, sizeof *found * (most + 1));
	for (; RTA_OK(first, length); first = RTA_NEXT(first, length))
		if ((first->rta_type & NLA_TYPE_MASK) <= most)
			found[first->rta_type & NLA_TYPE_MASK] = first;
}

static void print_link(struct nlmsghdr *message)
{
	struct ifinfomsg *info = NLMSG_DATA(message);
	struct rtattr *found[IFLA_MAX + 1];
	attributes(IFLA_RTA(info), IFLA_PAYLOAD(message), found, IFLA_MAX);
	if (found[IFLA_IFNAME] == NULL)
		return;
	/* tunnels that the kernel makes in every namespace, whether modules are loaded or not */
	if (!(info->ifi_flags & IFF_UP) && strcmp(RTA_DATA(found[IFLA_IFNAME]), "lo") && info->ifi_type != 1)
		return;
	printf("link %s", (char *)RTA_DATA(found[IFLA_IFNAME]));
	if (found[IFLA_ADDRESS] != NULL && RTA_PAYLOAD(found[IFLA_ADDRESS]) == 6) {
		unsigned char *mac = RTA_DATA(found[IFLA_ADDRESS]);
		printf(" mac %02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	}
	printf(" mtu %u %s%s%s\n", *(uint32_t *)RTA_DATA(found[IFLA_MTU]), info->ifi_flags & IFF_UP ? "up" : "down",
	       info->ifi_flags & IFF_RUNNING ? " running" : "", info->ifi_flags & IFF_NOARP ? " noarp" : "");
}

static void print_address(struct nlmsghdr *message)
{
	struct ifaddrmsg *info = NLMSG_DATA(message);
	struct rtattr *found[IFA_MAX + 1];
	attributes(IFA_RTA(info), IFA_PAYLOAD(message), found, IFA_MAX);
	struct rtattr *address = found[IFA_LOCAL] != NULL ? found[IFA_LOCAL] : found[IFA_ADDRESS];
	if (address == NULL)
		return;
	uint32_t flags = found[IFA_FLAGS] != NULL ? *(uint32_t *)RTA_DATA(found[IFA_FLAGS]) : info->ifa_flags;
	printf("address %s/%d dev %s", text_of(info->ifa_family, RTA_DATA(address)), info->ifa_prefixlen,
	       name_of(info->ifa_index));
	if (found[IFA_ADDRESS] != NULL && memcmp(RTA_DATA(found[IFA_ADDRESS]), RTA_DATA(address), RTA_PAYLOAD(address)))
		printf(" peer %s", text_of(info->ifa_family, RTA_DATA(found[IFA_ADDRESS])));
	if (found[IFA_BROADCAST] != NULL)
		printf(" broadcast %s", text_of(info->ifa_family, RTA_DATA(found[IFA_BROADCAST])));
	printf(" scope %d%s%s\n", info->ifa_scope, flags & IFA_F_TENTATIVE ? " tentative" : "",
	       flags & IFA_F_DADFAILED ? " dadfailed" : "");
}

static void print_route(struct nlmsghdr *message)
{
	struct rtmsg *info = NLMSG_DATA(message);
	struct rtattr *found[RTA_MAX + 1], *metrics[RTAX_MAX + 1];
	attributes(RTM_RTA(info), RTM_PAYLOAD(message), found, RTA_MAX);
	uint32_t table = found[RTA_TABLE] != NULL ? *(uint32_t *)RTA_DATA(found[RTA_TABLE]) : info->rtm_table;
	if (table != RT_TABLE_MAIN || info->rtm_flags & RTM_F_CLONED)
		return;
	int family = info->rtm_family;
	printf("route %s/%d", found[RTA_DST] != NULL ? text_of(family, RTA_DATA(found[RTA_DST])) : family == AF_INET ? "0.0.0.0" : "::",
	       info->rtm_dst_len);
	if (info->rtm_type != RTN_UNICAST)
		printf(" type %d", info->rtm_type);
	if (found[RTA_GATEWAY] != NULL)
		printf(" via %s", text_of(family, RTA_DATA(found[RTA_GATEWAY])));
	if (found[RTA_OIF] != NULL)
		printf(" dev %s", name_of(*(int *)RTA_DATA(found[RTA_OIF])));
	if (found[RTA_PREFSRC] != NULL)
		printf(" src %s", text_of(family, RTA_DATA(found[RTA_PREFSRC])));
	printf(" scope %d", info->rtm_scope);
	if (found[RTA_PRIORITY] != NULL)
		printf(" metric %u", *(uint32_t *)RTA_DATA(found[RTA_PRIORITY]));
	if (found[RTA_METRICS] != NULL) {
		attributes(RTA_DATA(found[RTA_METRICS]), RTA_PAYLOAD(found[RTA_METRICS]), metrics, RTAX_MAX);
		if (metrics[RTAX_MTU] != NULL)
			printf(" mtu %u", *(uint32_t *)RTA_DATA(metrics[RTAX_MTU]));
	}
	printf("%s\n", info->rtm_flags & RTNH_F_ONLINK ? " onlink" : "");
}

static void print_neighbour(struct nlmsghdr *message)
{
	struct ndmsg *info = NLMSG_DATA(message);
	struct rtattr *found[NDA_MAX + 1];
	attributes((struct rtattr *)((char *)info + NLMSG_ALIGN(sizeof *info)), NLMSG_PAYLOAD(message, sizeof *info), found,
		   NDA_MAX);
	if (!(info->ndm_state & NUD_PERMANENT) || found[NDA_DST] == NULL || found[NDA_LLADDR] == NULL)
		return;
	unsigned char *mac = RTA_DATA(found[NDA_LLADDR]);
	printf("neighbour %s dev %s mac %02x:%02x:%02x:%02x:%02x:%02x\n", text_of(info->ndm_family, RTA_DATA(found[NDA_DST])),
	       name_of(info->ndm_ifindex), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void dump(int fd, int kind, int family, printer print)
{
	static char data[1 << 16];
	struct {
		struct nlmsghdr head;
		union {
			struct rtgenmsg any;
			struct ifinfomsg link;
			struct rtmsg route;
		} body;
	} request;
	memset(&request, 0, sizeof request);
	request.head.nlmsg_len = sizeof request;
	request.head.nlmsg_type = kind;
	request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request.body.any.rtgen_family = family;
	if (send(fd, &request, sizeof request, 0) < 0)
		exit(failed("ask"));
	for (;;) {
		int size = recv(fd, data, sizeof data, 0);
		if (size <= 0)
			exit(failed("listen"));
		for (struct nlmsghdr *each = (struct nlmsghdr *)data; NLMSG_OK(each, (unsigned)size); each = NLMSG_NEXT(each, size)) {
			if (each->nlmsg_type == NLMSG_DONE || each->nlmsg_type == NLMSG_ERROR)
				return;
			print(each);
		}
	}
}

int show(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	dump(fd, RTM_GETLINK, AF_UNSPEC, print_link);
	dump(fd, RTM_GETADDR, AF_INET, print_address);
	dump(fd, RTM_GETADDR, AF_INET6, print_address);
	dump(fd, RTM_GETROUTE, AF_INET, print_route);
	dump(fd, RTM_GETROUTE, AF_INET6, print_route);
	dump(fd, RTM_GETNEIGH, AF_INET, print_neighbour);
	dump(fd, RTM_GETNEIGH, AF_INET6, print_neighbour);
	return 0;
}
