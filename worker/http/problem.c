/* problem.c: errors as clients see them: one JSON shape for all, RFC 9457 with the members of our API. Called by handlers and exchange.c.
 * Never holds a stack, a statement or a secret: only errors.def, the path, and the sentence the caller gives. */
#include "config.h"
#include "worker/http/internal.h"

#include "shared/json.h"

#define RETRY_AFTER_S 1 /* of 503 where nobody knows better */

static void write_member(struct buffer *b, const char *name, struct text string)
{
	buffer_append_string(b, name);
	json_write_string(b, string);
}

static void write_errors(struct buffer *b, const struct field_problem problems[], size_t count)
{
	buffer_append_string(b, ",\"errors\":[");
	for (size_t i = 0; i < count; i++) {
		write_member(b, i == 0 ? "{\"path\":" : ",{\"path\":", problems[i].path);
		write_member(b, ",\"code\":", text_of(problems[i].code));
		write_member(b, ",\"message\":", problems[i].message);
		buffer_append_char(b, '}');
	}
	buffer_append_char(b, ']');
}

static const char *content_type(const struct request *rq)
{
	bool names_json = false, names_problem = false;

	for (size_t i = 0; i < rq->header_count; i++) {
		struct text value = rq->headers[i].value;

		if (!text_equals_nocase(rq->headers[i].name, TEXT("Accept")))
			continue;
		names_json = names_json || memmem(value.bytes, value.length, "application/json", 16) != NULL;
		names_problem =
			names_problem || memmem(value.bytes, value.length, "application/problem+json", 24) != NULL;
	}
	return names_json && !names_problem ? "application/json" : "application/problem+json";
}

struct problem {
	enum error error;
	struct text detail;                 /* TEXT_NONE: the title */
	const struct field_problem *fields; /* `count` rows */
	size_t count;
	struct text extra; /* JSON members, or TEXT_NONE */
};

static void send_problem(struct request *rq, const struct problem *p)
{
	struct buffer *b = &rq->server->json;
	struct text title = text_of(error_title(p->error));
	struct text detail = p->detail.bytes != NULL ? p->detail : title;
	int status = error_status(p->error);

	buffer_clear(b);
	write_member(b, "{\"success\":false,\"error\":", detail);
	write_member(b, ",\"code\":", text_of(error_code(p->error)));
	buffer_append_string(b, ",\"type\":\"/problems/");
	buffer_append_string(b, error_code(p->error));
	write_member(b, "\",\"title\":", title);
	buffer_append_string(b, ",\"status\":");
	buffer_append_number(b, status);
	write_member(b, ",\"detail\":", detail);
	write_member(b, ",\"instance\":", rq->path);
	write_member(b, ",\"requestId\":", text_of(rq->id));
	write_errors(b, p->fields, p->count);
	if (p->extra.length > 0) {
		buffer_append_char(b, ',');
		buffer_append_text(b, p->extra);
	}
	buffer_append_char(b, '}');
	response_send(rq, status, content_type(rq), buffer_text(b));
}

void response_problem(struct request *rq, enum error e, const char *detail)
{
	if (error_status(e) == 503) {
		response_problem_retry(rq, e, detail, RETRY_AFTER_S);
		return;
	}
	send_problem(rq, &(struct problem) { .error = e, .detail = text_of(detail) });
}

void response_problem_retry(struct request *rq, enum error e, const char *detail, int retry_after_s)
{
	response_header(rq, "Retry-After", arena_printf(&rq->arena, "%d", retry_after_s).bytes);
	send_problem(rq, &(struct problem) { .error = e, .detail = text_of(detail) });
}

void response_invalid(struct request *rq, const struct field_problem problems[], size_t count)
{
	must(count > 0);
	send_problem(rq, &(struct problem) { .error = ERROR_VALIDATION_FAILED,
				 .detail = problems[0].message,
				 .fields = problems,
				 .count = count });
}

void response_problem_with(struct request *rq, enum error e, const char *detail, struct text extra)
{
	send_problem(rq, &(struct problem) { .error = e, .detail = text_of(detail), .extra = extra });
}
