/* stream_load.c: load for the bench: many connections at once from one process, epoll and nothing else.
 *   stream_load streams PORT FILE   sends each request of FILE on a connection of its own, reads all answers to their end, prints one JSON line with the
 *                                   latency of each stamp "@@microseconds@@" that the simulator wrote into a delta (CLOCK_MONOTONIC, same host)
 *   stream_load hold PORT FILE N    opens N connections with the first request, waits for each answer's first bytes, prints "holding" and keeps them until
 *                                   standard input ends
 * FILE holds requests, each after a line with its length in bytes. Talks to 127.0.0.1 only. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/must.h"

#define TAIL_BYTES 64
#define GIVE_UP_US 60000000

struct peer {
	int fd;                /* -1 when done */
	const char *request;   /* in the file's memory */
	size_t length;         /* of the request */
	char tail[TAIL_BYTES]; /* last bytes of the previous read: a stamp may be split */
	size_t tail_length;
	bool has_answer; /* its first bytes have come */
};

static struct peer *peers;
static size_t peer_count, peers_open, peers_failed;
static int64_t *latencies;
static size_t latency_count, latency_capacity;

static int64_t now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static char *read_requests(const char *path, size_t limit)
{
	FILE *file = fopen(path, "r");
	char *all = NULL, *at;
	size_t length = 0;

	must(file != NULL);
	for (size_t got = 1; got > 0; length += got) {
		all = must_realloc(all, length + 65537);
		got = fread(all + length, 1, 65536, file);
	}
	all[length] = '\0';
	(void)fclose(file);
	for (at = all; at < all + length && peer_count < limit;) {
		char *body;
		size_t size = strtoul(at, &body, 10);

		must(*body == '\n');
		peers = must_realloc(peers, (peer_count + 1) * sizeof *peers);
		peers[peer_count++] = (struct peer) { .fd = -1, .request = body + 1, .length = size };
		at = body + 1 + size;
	}
	return all;
}

static void open_peer(struct peer *p, int port, int epoll)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = p };

	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	must(p->fd >= 0);
	if (connect(p->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
		send(p->fd, p->request, p->length, MSG_NOSIGNAL) != (ssize_t)p->length) {
		perror("stream_load: connect");
		peers_failed++;
		(void)close(p->fd);
		p->fd = -1;
		return;
	}
	must(fcntl(p->fd, F_SETFL, O_NONBLOCK) == 0);
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event) == 0);
	peers_open++;
}

static void note_latency(int64_t us)
{
	if (latency_count == latency_capacity) {
		latency_capacity = latency_capacity * 2 + 1024;
		latencies = must_realloc(latencies, latency_capacity * sizeof *latencies);
	}
	latencies[latency_count++] = us;
}

/* Stamps that end in `bytes`; those that ended in the tail were counted before. */
static void find_stamps(const char *bytes, size_t length, size_t old, int64_t now)
{
	for (const char *p = bytes; (p = memmem(p, (size_t)(bytes + length - p), "@@", 2)) != NULL;) {
		char *end;
		long long stamp = strtoll(p + 2, &end, 10);

		if (end > p + 2 && end + 2 <= bytes + length && end[0] == '@' && end[1] == '@') {
			if (end + 2 > bytes + old)
				note_latency(now - stamp);
			p = end + 2;
		} else {
			p += 1;
		}
	}
}

static void close_peer(struct peer *p)
{
	(void)close(p->fd);
	p->fd = -1;
	peers_open--;
}

static void on_readable(struct peer *p)
{
	char bytes[TAIL_BYTES + 65536 + 1];
	ssize_t length = recv(p->fd, bytes + p->tail_length, 65536, 0);
	int64_t now = now_us();

	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0) {
		close_peer(p);
		return;
	}
	memcpy(bytes, p->tail, p->tail_length);

	size_t whole = p->tail_length + (size_t)length;

	bytes[whole] = '\0';
	if (!p->has_answer && strncmp(bytes, "HTTP/1.1 200", strlen("HTTP/1.1 200")) != 0) {
		(void)fprintf(stderr, "stream_load: refused: %.12s\n", bytes);
		peers_failed++;
		close_peer(p);
		return;
	}
	find_stamps(bytes, whole, p->tail_length, now);
	p->has_answer = true;
	if (whole >= 5 && memcmp(bytes + whole - 5, "0\r\n\r\n", 5) == 0) {
		close_peer(p);
		return;
	}
	p->tail_length = whole < TAIL_BYTES ? whole : TAIL_BYTES;
	memcpy(p->tail, bytes + whole - p->tail_length, p->tail_length);
}

static int compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t percentile(double share)
{
	return latency_count == 0 ? -1 : latencies[(size_t)((double)(latency_count - 1) * share)];
}

static size_t answered(void)
{
	size_t count = 0;

	for (size_t i = 0; i < peer_count; i++)
		count += peers[i].has_answer;
	return count;
}

static void read_ready(int epoll, int timeout_ms)
{
	struct epoll_event events[256];
	int count = epoll_wait(epoll, events, 256, timeout_ms);

	for (int i = 0; i < count; i++)
		on_readable(events[i].data.ptr);
}

/* People do not ask in step: the streams begin up to 2 ms apart, the same way each time. */
static void open_all(int port, int epoll)
{
	uint32_t seed = 1;
	int64_t due_us = now_us();

	for (size_t i = 0; i < peer_count; i++) {
		while (now_us() < due_us)
			read_ready(epoll, 0);
		open_peer(&peers[i], port, epoll);
		seed = seed * 1664525 + 1013904223;
		due_us += seed >> 21; /* 0 to 2047 microseconds */
	}
}

static void pump(int epoll, bool until_first_bytes)
{
	int64_t give_up = now_us() + GIVE_UP_US;

	while (peers_open > 0 && now_us() < give_up) {
		read_ready(epoll, 1000);
		if (until_first_bytes && answered() == peer_count)
			return;
	}
}

static void hold(int port, int epoll, size_t count)
{
	struct peer first = peers[0];

	peers = must_realloc(peers, count * sizeof *peers);
	peer_count = count;
	for (size_t i = 0; i < count; i++) {
		peers[i] = first;
		open_peer(&peers[i], port, epoll);
		if (i % 100 == 99) /* keep within the server's accept queue */
			while (answered() < i + 1 - peers_failed)
				read_ready(epoll, 1000);
	}
	pump(epoll, true);
	(void)printf("holding %zu failed %zu\n", peers_open, peers_failed);
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
}

int main(int argc, char **argv)
{
	struct rlimit limit = { 65536, 65536 };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (argc < 4 || (strcmp(argv[1], "hold") == 0) != (argc == 5)) {
		(void)fprintf(stderr, "usage: stream_load streams PORT FILE | hold PORT FILE N\n");
		return 64;
	}
	(void)setrlimit(RLIMIT_NOFILE, &limit);

	int port = (int)strtol(argv[2], NULL, 10);
	char *memory = read_requests(argv[3], argc == 5 ? 1 : SIZE_MAX);

	if (argc == 5) {
		hold(port, epoll, strtoul(argv[4], NULL, 10));
		return 0;
	}
	open_all(port, epoll);
	pump(epoll, false);
	qsort(latencies, latency_count, sizeof *latencies, compare);
	(void)printf("{\"streams\":%zu,\"failed\":%zu,\"unfinished\":%zu,\"deltas\":%zu,\"p50_us\":%lld,\"p99_us\":%"
		     "lld,\"max_us\":%lld}\n",
		peer_count, peers_failed, peers_open, latency_count, (long long)percentile(0.5),
		(long long)percentile(0.99), (long long)percentile(1.0));
	free(memory);
	free(peers);
	free(latencies);
	return 0;
}
