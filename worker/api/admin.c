/* admin.c: the operations page and the state of the pool that it draws. Named by routes.c; the page's files are web/admin*, the state comes from the
 * scoreboard alone, so that it is answered at once whatever the database does. */
#include "config.h"
#include "worker/api/admin.h"

#include "shared/clock.h"
#include "shared/status.h"
#include "worker/api/assets.h"
#include "worker/http/response.h"
#include "worker/worker.h"

void admin_page(struct request *rq)
{
	assets_send(rq, TEXT("admin.html"));
}

void admin_asset(struct request *rq)
{
	assets_send(rq, rq->params[0]);
}

void admin_status(struct request *rq)
{
	const struct worker *w = request_context(rq);
	struct buffer status;

	buffer_init(&status);
	status_write_json(w->board, clock_monotonic_us(), &status);
	response_header(rq, "Cache-Control", "no-store");
	response_json(rq, 200, buffer_text(&status));
	buffer_fini(&status);
}
