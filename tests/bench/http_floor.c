/* http_floor.c: the HTTP folder alone, one process, one static route: what the product can at best answer. For comparing with nginx's `return 200` by hand or
 * from the benchmark script: `http_floor` prints its port and serves until it is killed. Not installed; no database, no supervisor. */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"
#include "worker/http/sse.h"
#include "worker/http/server.h"

static struct scoreboard board;

static void health(struct request *rq)
{
	response_json(rq, 200,
		TEXT("{\"status\":\"ok\",\"timestamp\":\"2026-11-21T12:00:00.000Z\",\"environment\":\"test\",\"v\":"
		     "\"1\"}"));
}

static void stream(struct request *rq)
{
	struct sse *sse = sse_start(rq, true, NULL);

	sse_event(sse, TEXT("1"), TEXT("{\"type\":\"start\"}"));
}

static const struct route routes[] = {
	{ .method = METHOD_GET, .path = "/health", .handle = health, .is_quiet = true },
	{ .method = METHOD_GET, .path = "/logged", .handle = health },
	{ .method = METHOD_GET, .path = "/stream", .handle = stream },
};

static int listen_on(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	socklen_t length = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	must(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int) { 1 }, sizeof(int)) == 0);
	must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1024) == 0);
	must(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
	printf("http://127.0.0.1:%d/health\n", ntohs(address.sin_port));
	(void)fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct options limits;
	struct http_server *server;

	options_init(&limits);
	log_open("http_floor", 0, LOG_INFO, STDERR_FILENO);

	struct http_options options = { .base = base,
		.listener = listen_on(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0),
		.limits = &limits,
		.board = &board,
		.routes = routes,
		.route_count = COUNT_OF(routes) };

	must(http_open(&options, &server) == ERROR_NONE);
	http_start(server);
	(void)event_base_dispatch(base);
	http_close(&server);
	event_base_free(base);
	options_fini(&limits);
	return 0;
}
