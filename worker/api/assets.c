/* assets.c: serves the files of web/ from memory: the chat page to everyone, the operations page through admin.c. Named by routes.c; the bytes are in assets_data.c, made from web/.
 * Each answer may be kept but must be asked for again (ETag), so that a new version of the program is a new page at once. */
#include "config.h"
#include "worker/api/assets.h"

#include <stdlib.h>

#include "shared/clock.h"
#include "worker/api/etag.h"
#include "worker/http/response.h"
#include "worker/worker.h"

#define PAGE_POLICY                                                                                                    \
	"default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "          \
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

static int compare_names(const void *key, const void *row)
{
	const struct text *name = key;
	const struct asset *asset = row;
	size_t length = strlen(asset->name);
	int order = memcmp(name->bytes, asset->name, name->length < length ? name->length : length);

	return order != 0 ? order : (name->length > length) - (name->length < length);
}

static const struct asset *find_asset(struct text name)
{
	return bsearch(&name, assets, asset_count, sizeof assets[0], compare_names);
}

static void send_asset(struct request *rq, const struct asset *asset)
{
	struct text bare = text_span(asset->etag + 1, strlen(asset->etag) - 2);

	response_header(rq, "ETag", asset->etag);
	response_header(rq, "Cache-Control", "no-cache");
	response_header(rq, "Content-Security-Policy", PAGE_POLICY);
	response_header(rq, "Referrer-Policy", "no-referrer");
	response_header(rq, "Cross-Origin-Opener-Policy", "same-origin");
	if (etag_is_known(request_header(rq, "If-None-Match"), bare))
		response_send(rq, 304, NULL, TEXT(""));
	else
		response_send(rq, 200, asset->content_type, text_span((const char *)asset->bytes, asset->length));
}

void assets_send(struct request *rq, struct text name)
{
	const struct asset *asset = find_asset(name);

	if (asset != NULL)
		send_asset(rq, asset);
	else
		response_problem(rq, ERROR_NOT_FOUND, NULL);
}

void assets_get(struct request *rq)
{
	if (text_starts_with(rq->params[0], TEXT("admin")))
		response_problem(rq, ERROR_NOT_FOUND, NULL);
	else
		assets_send(rq, rq->params[0]);
}

static void send_banner(struct request *rq)
{
	struct worker *w = request_context(rq);
	char now[CLOCK_RFC3339_BYTES];
	struct buffer banner;

	clock_format_rfc3339(clock_wall_us(), now);
	buffer_init(&banner);
	buffer_append_string(&banner, "{\"success\":true,\"name\":\"" PACKAGE_NAME "\",\"version\":\"" PACKAGE_VERSION
				      "\",\"environment\":\"");
	buffer_append_string(&banner, w->options.app_env);
	buffer_printf(
		&banner, "\",\"timestamp\":\"%s\",\"health\":\"/health\",\"documentation\":\"/openapi.json\"}", now);
	response_json(rq, 200, buffer_text(&banner));
	buffer_fini(&banner);
}

void assets_home(struct request *rq)
{
	const struct asset *page = find_asset(TEXT("index.html"));

	if (rq->is_admin) {
		response_header(rq, "Location", "/admin");
		response_send(rq, 302, NULL, TEXT(""));
		return;
	}
	response_header(rq, "Vary", "Accept");
	if (page != NULL && request_prefers(rq, "text/html"))
		send_asset(rq, page);
	else
		send_banner(rq);
}
