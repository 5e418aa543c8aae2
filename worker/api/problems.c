/* problems.c: says what an error code means and what to do about it, for people (HTML) and programs (JSON), from the table of errors.
 * Named by routes.c. Codes that never leave the programs have no page. */
#include "config.h"
#include "worker/api/problems.h"

#include "shared/json.h"
#include "worker/http/response.h"

static enum error find_code(struct text code)
{
	for (int e = ERROR_NONE + 1; e < ERROR_SYSTEM; e++)
		if (text_equals(code, text_of(error_code((enum error)e))))
			return (enum error)e;
	return ERROR_NONE;
}

/* Titles and remedies are ours and hold nothing that HTML would take for markup. */
static void write_page(struct buffer *out, enum error e)
{
	buffer_printf(out,
		"<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>%s</title>\n"
		"<h1>%s</h1>\n<p>Status %d, code <code>%s</code></p>\n<p>%s</p>\n</html>\n",
		error_code(e), error_title(e), error_status(e), error_code(e), error_remedy(e));
}

static void write_json(struct buffer *out, enum error e)
{
	buffer_printf(out, "{\"type\":\"/problems/%s\",\"code\":\"%s\",\"status\":%d,\"title\":", error_code(e),
		error_code(e), error_status(e));
	json_write_string(out, text_of(error_title(e)));
	buffer_append_string(out, ",\"remedy\":");
	json_write_string(out, text_of(error_remedy(e)));
	buffer_append_char(out, '}');
}

void problems_get(struct request *rq)
{
	enum error e = find_code(rq->params[0]);
	bool is_page = request_prefers(rq, "text/html");
	struct buffer out;

	if (e == ERROR_NONE) {
		response_problem(rq, ERROR_NOT_FOUND, NULL);
		return;
	}
	buffer_init(&out);
	if (is_page)
		write_page(&out, e);
	else
		write_json(&out, e);
	response_header(rq, "Vary", "Accept");
	response_header(rq, "Cache-Control", "public, max-age=3600");
	response_header(rq, "Content-Security-Policy", "default-src 'none'");
	response_send(rq, 200, is_page ? "text/html; charset=utf-8" : "application/json", buffer_text(&out));
	buffer_fini(&out);
}
