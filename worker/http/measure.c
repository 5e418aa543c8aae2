/* measure.c: what the metrics count of requests: time, status, size and who is under way, by route, and the last request for a post-mortem. Called by
 * intake.c and exchange.c for each request: plain stores into this worker's own part of the scoreboard, nothing else. */
#include "config.h"
#include "worker/http/internal.h"

#include <stdio.h>

#include "worker/http/router.h"

struct route_measure {
	struct scoreboard_route *row; /* borrowed: in our part of the scoreboard */
	char request[96];             /* "GET /api/rooms/{id}", padded with NULs */
};

static const char *const method_names[METHOD_COUNT] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };

_Static_assert(sizeof(struct route_measure) - offsetof(struct route_measure, request) ==
		       sizeof((struct scoreboard_slot *)0)->last_request,
	"copied as a whole");

void measure_open(struct http_server *server)
{
	const struct http_options *o = &server->options;

	server->rows = must_alloc((o->route_count + 1) * sizeof *server->rows);
	for (size_t i = 0; i < o->route_count; i++) {
		const char *method = method_names[o->routes[i].method];
		int row = scoreboard_claim(o->board->routes, ROUTES_MAX, method, o->routes[i].path);

		server->rows[i].row = &server->measures->routes[row];
		(void)snprintf(
			server->rows[i].request, sizeof server->rows[i].request, "%s %s", method, o->routes[i].path);
	}
}

void measure_close(struct http_server *server)
{
	free(server->rows);
	server->rows = NULL;
}

void measure_begin(struct request *rq)
{
	struct http_server *server = rq->server;
	struct route_measure *of = &server->rows[rq->route - server->options.routes];

	rq->response->is_in_flight = true;
	SCOREBOARD_ADD(of->row->in_flight, 1);
	/* For a post-mortem: a page that asks each second for the state would hide what the worker was really at. */
	if (rq->is_admin)
		return;
	memcpy(server->slot->last_request, of->request, sizeof of->request);
	SCOREBOARD_SET(server->slot->last_request_us, rq->started_us);
}

void measure_end(struct request *rq, int64_t now_us)
{
	struct http_server *server = rq->server;
	struct response *rs = rq->response;
	struct scoreboard_common *common = &server->measures->common;
	bool is_known = rq->route != NULL;
	struct scoreboard_route *row = is_known ? server->rows[rq->route - server->options.routes].row
						: &server->measures->routes[MEASURE_UNNAMED];
	int64_t spent_us = (rs->is_stream ? rs->stream_us : now_us) - rq->started_us;
	int bucket = histogram_observe(&row->seconds, &histogram_requests, spent_us);
	int class = rs->status < 300 ? 0 : rs->status < 400 ? 1 : rs->status < 500 ? 2 : 3;

	if (rs->is_in_flight)
		SCOREBOARD_ADD(row->in_flight, -1);
	(void)histogram_observe(&common->request_bytes, &histogram_sizes, (int64_t)rs->bytes_in);
	(void)histogram_observe(&common->response_bytes, &histogram_sizes, (int64_t)rs->bytes_out);
	/* What is quiet is not in the log, so its trace would lead nowhere. */
	if (is_known && !rq->route->is_quiet)
		scoreboard_exemplify(&row->exemplar, bucket, spent_us, rq->trace_id, now_us);
	if (rs->is_stream)
		(void)histogram_observe(&common->streams, &histogram_requests, now_us - rs->stream_us);
	/* Last: who sees this sees all of it. */
	SCOREBOARD_ADD(row->statuses[class], 1);
}
