/* url.c: where Gemini is and how its methods are addressed. Called by provider.c, transfer.c and probe.c.
 * It never puts the key into an address: that would land in proxies' logs. */
#include "config.h"
#include "worker/gemini/url.h"

static bool starts_nocase(struct text whole, struct text start)
{
	return whole.length >= start.length && strncasecmp(whole.bytes, start.bytes, start.length) == 0;
}

bool url_is_https(const char *url)
{
	return starts_nocase(text_of(url), TEXT("https://"));
}

/* The host between "://" and the port or path; a user part makes it no host at all. */
static struct text host_of(const char *url)
{
	const char *start = strstr(url, "://");

	if (start == NULL)
		return TEXT_NONE;
	start += 3;

	size_t length = strcspn(start, "/?#");

	if (memchr(start, '@', length) != NULL)
		return TEXT_NONE;
	if (*start == '[') {
		const char *close = memchr(start, ']', length);

		return close == NULL ? TEXT_NONE : text_span(start + 1, (size_t)(close - start - 1));
	}
	return text_span(start, strcspn(start, ":/?#"));
}

bool url_is_loopback(const char *url)
{
	struct text host = host_of(url);

	if (host.bytes == NULL)
		return false;
	if (text_equals_nocase(host, TEXT("localhost")) || text_equals(host, TEXT("::1")))
		return true;
	/* Digits and dots only, so that 127.0.0.1.example.org is not taken for an address. */
	return text_starts_with(host, TEXT("127.")) && strspn(host.bytes, "0123456789.") >= host.length;
}

bool url_is_allowed(const char *url)
{
	if (host_of(url).length == 0)
		return false;
	return url_is_https(url) || (starts_nocase(text_of(url), TEXT("http://")) && url_is_loopback(url));
}

struct text url_model_name(const char *model)
{
	struct text name = text_of(model);

	if (text_starts_with(name, TEXT("models/")))
		name = text_span(name.bytes + 7, name.length - 7);
	return name;
}

bool url_is_model(const char *model)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	struct text name = url_model_name(model);

	return name.length > 0 && name.length < 96 && strspn(name.bytes, letters) == name.length;
}

void url_write(const struct options *options, const char *model, const char *method, struct buffer *out)
{
	struct text base = text_of(options->gemini_base_url);

	if (base.length > 0 && base.bytes[base.length - 1] == '/')
		base.length--;
	buffer_append_text(out, base);
	buffer_append_char(out, '/');
	buffer_append_string(out, options->gemini_api_version);
	buffer_append_string(out, "/models/");
	buffer_append_text(out, url_model_name(model));
	buffer_append_string(out, method);
	buffer_append_char(out, '\0');
}
