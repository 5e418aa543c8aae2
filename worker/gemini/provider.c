/* provider.c: opens and closes the way to the model and hands calls to attempt.c. Called by chat through provider.h, by main.c at start and end.
 * It holds what all calls of a worker share: connections, roles, headers, learned facts. */
#include "config.h"
#include "worker/gemini/provider.h"

#include "shared/log.h"
#include "worker/gemini/attempt.h"
#include "worker/gemini/engine.h"
#include "worker/gemini/json.h"
#include "worker/gemini/learn.h"
#include "worker/gemini/transfer.h"
#include "worker/gemini/url.h"

/* ---- calls ---- */

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	attempt_run_due(arg);
}

struct model_call *provider_start(
	struct provider *p, const struct model_request *rq, model_event_fn *on_event, void *arg)
{
	return attempt_create(p, rq, on_event, arg);
}

void provider_pause(struct model_call *call)
{
	call->is_paused = true;
}

void provider_resume(struct model_call *call)
{
	if (!call->is_paused)
		return;
	call->is_paused = false;
	attempt_kick(call);
}

void provider_cancel(struct model_call **handle)
{
	struct model_call *call = *handle;

	if (call == NULL)
		return;
	*handle = NULL;
	call->is_cancelled = true;
	transfer_cancel(&call->transfer);
	(void)attempt_reap(call);
}

size_t provider_active(const struct provider *p)
{
	return p->active;
}

const struct role_config *provider_role(const struct provider *p, enum model_role role)
{
	return &p->roles.rows[role];
}

bool provider_is_simulator(const struct provider *p)
{
	return p->is_simulator;
}

bool provider_model_is_strict(const char *model)
{
	return models_family(text_of(model))->is_strict;
}

/* ---- open and close ---- */

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	struct buffer line;
	struct curl_slist *longer;

	buffer_init(&line);
	buffer_printf(&line, "%s%s", name, value);
	buffer_append_char(&line, '\0');
	longer = curl_slist_append(list, line.bytes);
	must(longer != NULL);
	buffer_fini(&line);
	return longer;
}

/* An empty Expect takes libcurl's away, which would cost a round trip for bodies above 1 MiB. */
struct curl_slist *provider_headers(const struct options *options)
{
	struct curl_slist *list = add_header(NULL, "Content-Type: ", "application/json");

	list = add_header(list, "Expect:", "");
	list = add_header(list, "x-goog-api-client: renovationd/", PACKAGE_VERSION);
	if (options->gemini_api_key[0] != '\0')
		list = add_header(list, "x-goog-api-key: ", options->gemini_api_key);
	return list;
}

static enum error check_options(struct provider *p)
{
	const struct options *o = p->options;
	const char *fault = NULL;

	if (!url_is_allowed(o->gemini_base_url))
		fault = "gemini_base_url: expected https://, or http:// to this machine";
	else if (!key_is_possible(o->gemini_api_key))
		fault = "gemini_api_key: expected printable ASCII without spaces";
	else if (roles_init(&p->roles, o, &fault) == ERROR_NONE)
		return ERROR_NONE;
	LOG(LOG_ERROR, "the model's configuration is wrong", F_STR("fault", fault));
	return ERROR_CONFIG;
}

static enum request_sampling sampling_of(const char *word)
{
	if (text_equals(text_of(word), TEXT("always")))
		return SAMPLING_ALWAYS;
	return text_equals(text_of(word), TEXT("never")) ? SAMPLING_NEVER : SAMPLING_AUTO;
}

enum error provider_open(struct event_base *base, const struct options *options, struct provider **provider_out)
{
	struct provider *p = must_alloc(sizeof *p);
	enum error e;

	p->base = base;
	p->options = options;
	p->last_due = &p->first_due;
	p->sampling = sampling_of(options->gemini_send_sampling);
	e = check_options(p);
	if (e == ERROR_NONE)
		e = engine_open(base, options->gemini_base_url, &p->engine);
	if (e != ERROR_NONE) {
		roles_fini(&p->roles);
		free(p);
		return e;
	}
	p->tokener = json_tokener_new_ex(GEMINI_JSON_DEPTH);
	p->kick = event_new(base, -1, 0, on_kick, p);
	must(p->tokener != NULL && p->kick != NULL);
	p->headers = provider_headers(options);
	learn_open(p);
	*provider_out = p;
	return ERROR_NONE;
}

void provider_close(struct provider **provider)
{
	struct provider *p = *provider;

	if (p == NULL)
		return;
	while (p->first != NULL) {
		struct model_call *call = p->first;

		must(!call->is_busy);
		call->is_due = false;   /* the kick does not come any more */
		provider_cancel(&call); /* takes itself out of the list */
	}
	learn_close(p);
	event_free(p->kick);
	engine_close(&p->engine);
	curl_slist_free_all(p->headers);
	json_tokener_free(p->tokener);
	roles_fini(&p->roles);
	free(p);
	*provider = NULL;
}
