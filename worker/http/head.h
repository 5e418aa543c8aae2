/* head.h: the header of an answer, between response.c and stream.c. */
#ifndef RENOVATIOND_WORKER_HTTP_HEAD_H
#define RENOVATIOND_WORKER_HTTP_HEAD_H

#include "worker/http/request.h"

/* Writes status line and fields into the server's scratch and remembers the status; more fields may be appended to it. */
void head_begin(struct request *rq, int status, const char *content_type);
/* The whole header; good until the next head_begin. */
struct text head_end(struct request *rq);

#endif
