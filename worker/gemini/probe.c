/* probe.c: the Gemini row of the preflight: one blocking GET of the first streaming model, which proves address, TLS, key and name in one go
 * and costs no tokens (ai.google.dev/api/models). Called by renovationd-worker --check only. It says what is wrong, not what to
 * do about the start: that is the supervisor's decision. */
#include "config.h"
#include "worker/gemini/provider.h"

#include <curl/curl.h>

#include "shared/clock.h"
#include "shared/inherit.h"
#include "shared/report.h"
#include "worker/gemini/attempt.h"
#include "worker/gemini/engine.h"
#include "worker/gemini/json.h"
#include "worker/gemini/url.h"

#define ANSWER_MAX_BYTES (64UL * 1024)

/* One exchange of the probe. */
struct asking {
	struct buffer body; /* the answer's */
	struct failure failure;
	CURLcode code;     /* libcurl's result */
	const char *error; /* its words */
	long status;       /* HTTP, 0 = none */
	char words[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct asking *asking = arg;

	if (buffer_length(&asking->body) + size * count > ANSWER_MAX_BYTES)
		return CURL_WRITEFUNC_ERROR;
	buffer_append(&asking->body, bytes, size * count);
	return size * count;
}

static void ask(struct asking *asking, const struct options *o, const char *model)
{
	struct curl_slist *headers = provider_headers(o);
	struct buffer url;
	CURL *easy = curl_easy_init();

	must(easy != NULL);
	buffer_init(&url);
	url_write(o, model, "", &url);
	engine_prepare(easy, o->gemini_base_url);
	curl_easy_setopt(easy, CURLOPT_URL, url.bytes);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, asking->words);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, asking);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)o->gemini_connect_timeout_ms);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(2 * o->gemini_connect_timeout_ms));
	asking->code = curl_easy_perform(easy);
	(void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &asking->status);
	curl_easy_cleanup(easy);
	curl_slist_free_all(headers);
	buffer_fini(&url);
}

static void judge_transport(struct report_row *row, const struct asking *asking, const struct options *o)
{
	row->state = REPORT_FAILED;
	row->exit_code = EXIT_UNAVAILABLE;
	row->is_transient = asking->code != CURLE_PEER_FAILED_VERIFICATION;
	report_detail(row, "%s: %s", o->gemini_base_url,
		asking->words[0] != '\0' ? asking->words : curl_easy_strerror(asking->code));
	report_remedy(row, row->is_transient ? "Check gemini_base_url, the name service and outgoing connections."
					     : "Check the host's certificate store and any proxy that breaks up TLS.");
}

static void judge_failure(struct report_row *row, const struct asking *asking, const char *model)
{
	const struct failure *f = &asking->failure;

	row->state = REPORT_FAILED;
	report_detail(row, "HTTP %ld %s %s", asking->status, f->status, f->reason);
	if (f->class == MODEL_AUTH) {
		row->exit_code = EXIT_REFUSED;
		report_remedy(row, "Set GOOGLE_API_KEY (or gemini_api_key) to a valid key that may use this API.");
	} else if (f->class == MODEL_GONE) {
		row->exit_code = EXIT_CONFIG_WRONG;
		report_detail(row, "The key works, but there is no model %s.", model);
		report_remedy(row, "Name a model in streaming_models that Google serves to this account.");
	} else {
		row->exit_code = EXIT_UNAVAILABLE;
		row->is_transient = true;
		report_remedy(row, "Gemini answers, but not usefully now; try again.");
	}
}

static void judge_success(struct report_row *row, const struct roles *roles, const struct options *o)
{
	const char *model = roles->rows[MODEL_ROLE_STREAMING].models[0];

	row->state = REPORT_OK;
	report_detail(row, "%s serves %s", o->gemini_base_url, model);
	for (int role = 0; role < MODEL_ROLE_COUNT; role++)
		for (int i = 0; i < roles->rows[role].model_count; i++) {
			const char *name = roles->rows[role].models[i], *warning = models_warning(text_of(name));

			if (warning == NULL)
				continue;
			row->state = REPORT_WARNING;
			report_detail(row, "%s_models: %s %s", roles->rows[role].name, name, warning);
			report_remedy(row, "Name a stable model, or keep a second one behind it in the list.");
			return;
		}
}

static void judge(struct report_row *row, struct asking *asking, const struct options *o, const struct roles *roles)
{
	struct json_tokener *tokener = json_tokener_new_ex(GEMINI_JSON_DEPTH);

	must(tokener != NULL);
	if (asking->code != CURLE_OK) {
		judge_transport(row, asking, o);
	} else if (asking->status == 200) {
		judge_success(row, roles, o);
	} else {
		failure_from_answer(&asking->failure, tokener, (int)asking->status, buffer_text(&asking->body),
			TEXT_NONE, o->gemini_api_key);
		judge_failure(row, asking, roles->rows[MODEL_ROLE_STREAMING].models[0]);
	}
	json_tokener_free(tokener);
}

static void refuse(struct report_row *row, const char *detail, const char *remedy)
{
	row->state = REPORT_FAILED;
	row->exit_code = EXIT_CONFIG_WRONG;
	report_detail(row, "%s", detail);
	report_remedy(row, "%s", remedy);
}

void provider_probe(const struct options *options, struct report *report)
{
	struct report_row *row = report_add(report, "gemini");
	int64_t started_ms = clock_monotonic_ms();
	struct asking asking = { .status = 0 };
	struct roles roles = { 0 };
	const char *fault = NULL;

	if (options->gemini_api_key[0] == '\0')
		refuse(row, "no API key", "Set GOOGLE_API_KEY (or gemini_api_key, or its _FILE).");
	else if (!key_is_possible(options->gemini_api_key))
		refuse(row, "the API key has spaces or bytes that are no ASCII",
			"Copy the key again, without a line end or quotes.");
	else if (!url_is_allowed(options->gemini_base_url))
		refuse(row, "gemini_base_url is neither https:// nor http:// to this machine",
			"Correct gemini_base_url.");
	else if (roles_init(&roles, options, &fault) != ERROR_NONE)
		refuse(row, fault, "Correct that option.");
	else if (engine_global_open() != ERROR_NONE)
		refuse(row, "libcurl cannot be initialised", "Check the installation of libcurl and OpenSSL.");
	else {
		ask(&asking, options, roles.rows[MODEL_ROLE_STREAMING].models[0]);
		judge(row, &asking, options, &roles);
		engine_global_close();
	}
	row->latency_ms = (int)(clock_monotonic_ms() - started_ms);
	buffer_fini(&asking.body);
	roles_fini(&roles);
}
