/* learn.c: one GET of the model after the start (ai.google.dev/api/models), whose answer names the server and the model's limits.
 * Called by provider.c. Nothing depends on its success: a start is never held up by it. */
#include "config.h"
#include "worker/gemini/learn.h"

#include "shared/log.h"
#include "worker/gemini/attempt.h"
#include "worker/gemini/json.h"
#include "worker/gemini/url.h"

#define WAIT_FIRST_MS    1000
#define WAIT_MAX_MS      60000
#define ANSWER_MAX_BYTES (64UL * 1024)

void learn_from_answer(struct provider *p, const struct transfer_end *end)
{
	if (end->server.bytes != NULL)
		p->is_simulator = text_starts_with(end->server, TEXT("gemini-sim"));
}

static enum transfer_answer on_bytes(void *arg, int status, struct text bytes)
{
	struct provider *p = arg;

	if (status == 200 && buffer_length(&p->learned) + bytes.length <= ANSWER_MAX_BYTES)
		buffer_append_text(&p->learned, bytes);
	return TRANSFER_TAKEN;
}

static void learn_limits(struct provider *p)
{
	struct json_object *model = json_parse_text(p->tokener, buffer_text(&p->learned));
	struct model_facts *facts = models_facts(&p->models, text_of(p->roles.rows[MODEL_ROLE_STREAMING].models[0]));

	facts->input_limit = json_integer(model, "inputTokenLimit");
	facts->output_limit = json_integer(model, "outputTokenLimit");
	json_object_put(model);
}

static void wait_for_next(struct provider *p)
{
	struct timeval wait = { p->learn_wait_ms / 1000, p->learn_wait_ms % 1000 * 1000 };

	(void)event_add(p->learn_timer, &wait);
	p->learn_wait_ms = p->learn_wait_ms * 2 > WAIT_MAX_MS ? WAIT_MAX_MS : p->learn_wait_ms * 2;
}

static void on_end(void *arg, const struct transfer_end *end)
{
	struct provider *p = arg;

	p->learning = NULL;
	learn_from_answer(p, end);
	LOG(LOG_DEBUG, "model asked for", F_INT("http_status", end->status), F_BOOL("is_simulator", p->is_simulator));
	if (end->status == 200)
		learn_limits(p);
	else if (end->status == 0 || end->status == 429 || end->status >= 500)
		wait_for_next(p);
	buffer_fini(&p->learned);
}

static void on_learn(evutil_socket_t fd, short what, void *arg)
{
	struct provider *p = arg;
	struct transfer_spec spec = { .headers = p->headers,
		.body = TEXT_NONE,
		.connect_ms = p->options->gemini_connect_timeout_ms,
		.first_byte_ms = p->options->gemini_first_byte_timeout_ms,
		.whole_ms = p->options->gemini_first_byte_timeout_ms,
		.on_bytes = on_bytes,
		.on_end = on_end,
		.arg = p };

	(void)fd;
	(void)what;
	buffer_clear(&p->learn_url);
	url_write(p->options, p->roles.rows[MODEL_ROLE_STREAMING].models[0], "", &p->learn_url);
	spec.url = p->learn_url.bytes;
	p->learning = transfer_start(p->engine, &spec);
}

void learn_open(struct provider *p)
{
	p->learn_wait_ms = WAIT_FIRST_MS;
	p->learn_timer = event_new(p->base, -1, 0, on_learn, p);
	must(p->learn_timer != NULL);
	event_active(p->learn_timer, EV_TIMEOUT, 0);
}

void learn_close(struct provider *p)
{
	transfer_cancel(&p->learning);
	event_free(p->learn_timer);
	buffer_fini(&p->learn_url);
	buffer_fini(&p->learned);
}
