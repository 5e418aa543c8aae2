/* config_check.c: what is missing, and values that are fine alone and wrong together.
 * Called after file and environment were read. What only the running system can tell (users, ports, the database) is the preflight's part. */
#include "config.h"
#include "shared/configuration.h"

#include <string.h>
#include <strings.h>

#include "shared/endpoint.h"
#include "shared/inherit.h"

#define ADMIN_TOKEN_MIN 16 /* characters */

static void check_database(struct configuration *c)
{
	if (c->options.database_url[0] == '\0')
		configuration_add_fault(c, "database_url",
			"set DATABASE_URL (or DATABASE_URL_FILE) to postgresql://user:password@host/database",
			"no database is named");
}

static bool is_loopback(struct text host)
{
	return text_equals_nocase(host, TEXT("localhost")) || text_equals(host, TEXT("::1")) ||
	       text_starts_with(host, TEXT("127."));
}

static struct text host_of(const char *url)
{
	const char *start = strstr(url, "://");
	const char *end;

	if (start == NULL)
		return TEXT_NONE;
	start += 3;
	if (*start == '[') {
		start++;
		end = start + strcspn(start, "]");
	} else {
		end = start + strcspn(start, ":/?#");
	}
	return text_span(start, (size_t)(end - start));
}

static void check_gemini(struct configuration *c)
{
	const struct options *o = &c->options;
	struct text host = host_of(o->gemini_base_url);
	bool is_plain = strncasecmp(o->gemini_base_url, "http://", 7) == 0;

	if (host.length == 0)
		configuration_fault_option(c, OPTION_gemini_base_url, "write https://host, without version or path",
			"the URL \"%.60s\" names no host", o->gemini_base_url);
	else if (is_plain && !is_loopback(host))
		configuration_fault_option(c, OPTION_gemini_base_url, "use https://, or a proxy on this machine",
			"the key would travel unencrypted to %.*s", TEXT_ARGS(host));
	if (o->gemini_api_key[0] == '\0' && options_is_strict(o) && o->gemini_required)
		configuration_add_fault(c, "gemini_api_key",
			"set GOOGLE_API_KEY (or GOOGLE_API_KEY_FILE); gemini_required = false starts without",
			"no Gemini key, which %s needs", o->app_env);
	if (o->gemini_first_byte_timeout_ms > o->gemini_attempt_timeout_ms)
		configuration_fault_option(c, OPTION_gemini_first_byte_timeout_ms,
			"keep it below gemini_attempt_timeout_ms", "%lld ms is longer than a whole attempt (%lld ms)",
			(long long)o->gemini_first_byte_timeout_ms, (long long)o->gemini_attempt_timeout_ms);
}

static void check_admin(struct configuration *c)
{
	const struct options *o = &c->options;
	const char *problem = "", *remedy = "";
	struct endpoint endpoint;

	if (o->admin_listen[0] != '\0' && endpoint_parse(o->admin_listen, &endpoint, &problem, &remedy) != ERROR_NONE)
		configuration_fault_option(c, OPTION_admin_listen, remedy, "\"%.120s\" %s", o->admin_listen, problem);
	if (o->admin_token[0] != '\0' && strlen(o->admin_token) < ADMIN_TOKEN_MIN && options_is_strict(o))
		configuration_fault_option(c, OPTION_admin_token, "make one with: openssl rand -hex 32",
			"fewer than %d characters can be guessed over the main listener", ADMIN_TOKEN_MIN);
}

static void check_workers(struct configuration *c)
{
	const struct options *o = &c->options;

	if (o->min_ready > options_workers(o))
		configuration_fault_option(c, OPTION_min_ready, "use at most the number of workers, or 0 for all",
			"%lld ready workers can never be reached with %d", (long long)o->min_ready, options_workers(o));
	if (options_workers(o) * 2 > SLOTS_MAX)
		configuration_add_warning(c, "workers", "use fewer workers",
			"a reload cannot run all %d old and new workers side by side: there are %d slots",
			options_workers(o), SLOTS_MAX);
	if (o->heartbeat_unhealthy_ms >= o->heartbeat_kill_ms)
		configuration_fault_option(c, OPTION_heartbeat_unhealthy_ms, "keep it below heartbeat_kill_ms",
			"%lld ms is not before the end at %lld ms", (long long)o->heartbeat_unhealthy_ms,
			(long long)o->heartbeat_kill_ms);
}

static int64_t longest(int64_t a, int64_t b, int64_t c)
{
	int64_t longer = a > b ? a : b;

	return longer > c ? longer : c;
}

static void check_shutdown(struct configuration *c)
{
	const struct options *o = &c->options;
	int64_t sockets = longest(o->shutdown_http_ms, o->shutdown_realtime_ms, o->shutdown_turns_ms);
	int64_t needed = sockets + o->shutdown_database_ms, given = o->shutdown_ms * SHUTDOWN_KILL_PERCENT / 100;
	int64_t least = (needed * 100 + SHUTDOWN_KILL_PERCENT - 1) / SHUTDOWN_KILL_PERCENT;

	if (given < needed)
		configuration_fault_option(c, OPTION_shutdown_ms,
			"raise it, or shorten shutdown_http_ms, shutdown_realtime_ms, shutdown_turns_ms or "
			"shutdown_database_ms",
			"%lld ms leave workers %lld ms, less than the sockets' %lld ms and the database's %lld ms, "
			"which come one after the other; %lld would do",
			(long long)o->shutdown_ms, (long long)given, (long long)sockets,
			(long long)o->shutdown_database_ms, (long long)least);
}

static void check_chat(struct configuration *c)
{
	const struct options *o = &c->options;

	if (o->chat_checkpoint_ms * 2 > o->chat_lease_ms)
		configuration_fault_option(c, OPTION_chat_checkpoint_ms, "keep it below half of chat_lease_ms",
			"a lease of %lld ms would end between two checkpoints %lld ms apart",
			(long long)o->chat_lease_ms, (long long)o->chat_checkpoint_ms);
	if (o->http_request_line_bytes > o->http_headers_bytes)
		configuration_fault_option(c, OPTION_http_request_line_bytes, "keep it below http_headers_bytes",
			"%lld bytes are more than all header fields may have (%lld)",
			(long long)o->http_request_line_bytes, (long long)o->http_headers_bytes);
}

void configuration_check(struct configuration *c, enum configuration_use use)
{
	check_database(c);
	if (use == CONFIGURATION_FOR_DATABASE)
		return;
	check_gemini(c);
	check_admin(c);
	check_workers(c);
	check_shutdown(c);
	check_chat(c);
}
