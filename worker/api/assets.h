/* assets.h: the files of web/ inside the program: table made by assets.pl, handlers for /assets/{name} and the start page; admin.c serves the operator's. */
#ifndef RENOVATIOND_WORKER_API_ASSETS_H
#define RENOVATIOND_WORKER_API_ASSETS_H

#include "worker/http/request.h"

struct asset {
	const char *name;         /* as in the address, below /assets/ */
	const char *content_type; /* by its suffix */
	const char *etag;         /* quoted sha256 of the bytes */
	const unsigned char *bytes;
	size_t length; /* bytes */
};

extern const struct asset assets[]; /* generated; sorted by name */
extern const size_t asset_count;

/* One file with its policy and ETag; 404 when there is none of that name. */
void assets_send(struct request *rq, struct text name);

void assets_get(struct request *rq);  /* GET /assets/{name} */
void assets_home(struct request *rq); /* GET /: the page for browsers, a JSON banner for programs */

#endif
