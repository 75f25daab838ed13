// SPDX-License-Identifier: GPL-2.0-only
/*
 * send_ipip N: sends N packets over the loopback device, each IPv4 in IPv4 in IPv4, and
 * TCP with one option in that. Nobody is there to take them. Exits with 2 when it
 * could not be done. Needs root.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct packet {
	struct iphdr ip[3];
	struct tcphdr tcp;
	unsigned char option[4];	/* the largest segment */
};

/* The kernel fills in the sum of the outermost; nobody looks at the others'. */
static void fill(struct packet *packet)
{
	size_t left = sizeof(*packet);
	int i;

	memset(packet, 0, sizeof(*packet));
	for (i = 0; i < 3; i++) {
		packet->ip[i].version = 4;
		packet->ip[i].ihl = 5;
		packet->ip[i].ttl = 64;
		packet->ip[i].tot_len = htons(left);
		packet->ip[i].protocol = i < 2 ? IPPROTO_IPIP : IPPROTO_TCP;
		packet->ip[i].saddr = htonl(INADDR_LOOPBACK);
		packet->ip[i].daddr = htonl(INADDR_LOOPBACK);
		left -= sizeof(packet->ip[i]);
	}
	packet->tcp.doff = (sizeof(packet->tcp) + sizeof(packet->option)) / 4;
	memcpy(packet->option, "\x02\x04\x05\xb4", sizeof(packet->option));
}

int main(int argc, char **argv)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int nr = argc == 2 ? atoi(argv[1]) : 0, i, fd;
	struct packet packet;

	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);	/* our own headers */
	if (fd < 0) {
		perror("socket");
		return 2;
	}
	fill(&packet);
	for (i = 0; i < nr; i++)
		if (sendto(fd, &packet, sizeof(packet), 0, (const struct sockaddr *)&to,
			   sizeof(to)) != sizeof(packet)) {
			perror("sendto");
			return 2;
		}
	close(fd);
	return 0;
}
