/* endpoint.c: see endpoint.h. Used by the configuration's check, so that a wrong one is told with all other faults, and by the supervisor that binds it. */
#include "config.h"
#include "shared/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

struct fault {
	const char *problem; /* what is wrong with the value */
	const char *remedy;  /* what to write instead */
};

static const struct fault not_an_address = { "is neither ADDRESS:PORT nor the path of a UNIX socket",
	"write 127.0.0.1:9090, [::1]:9090 or a path that begins with a slash" };
static const struct fault not_loopback = {
	"could be reached from other machines: whoever reaches it sees and may do what the operator may",
	"write 127.0.0.1:PORT, [::1]:PORT or a UNIX socket; for access from elsewhere set admin_token, or put a proxy "
	"with a "
	"login in front"
};
static const struct fault too_long = { "is too long for a UNIX socket (107 bytes)", "use a shorter path" };

static const struct fault *parse_path(const char *value, struct endpoint *e)
{
	struct sockaddr_un *address = (struct sockaddr_un *)(void *)&e->address;
	size_t length = strlen(value);

	if (length >= sizeof address->sun_path)
		return &too_long;
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, value, length + 1);
	e->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
	e->is_unix = true;
	return NULL;
}

static const struct fault *take_ipv4(const char *host, uint16_t port, struct endpoint *e)
{
	struct sockaddr_in *address = (struct sockaddr_in *)(void *)&e->address;

	address->sin_family = AF_INET;
	address->sin_port = htons(port);
	if (inet_pton(AF_INET, host, &address->sin_addr) != 1)
		return &not_an_address;
	e->length = sizeof *address;
	return ntohl(address->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ? NULL : &not_loopback;
}

static const struct fault *take_ipv6(const char *host, uint16_t port, struct endpoint *e)
{
	struct sockaddr_in6 *address = (struct sockaddr_in6 *)(void *)&e->address;

	address->sin6_family = AF_INET6;
	address->sin6_port = htons(port);
	if (inet_pton(AF_INET6, host, &address->sin6_addr) != 1)
		return &not_an_address;
	e->length = sizeof *address;
	return IN6_IS_ADDR_LOOPBACK(&address->sin6_addr) ? NULL : &not_loopback;
}

static const struct fault *parse_address(const char *value, struct endpoint *e)
{
	const char *colon = strrchr(value, ':');
	char host[INET6_ADDRSTRLEN];
	size_t length;
	uint64_t port;

	if (colon == NULL || !text_parse_u64(text_of(colon + 1), &port) || port > UINT16_MAX)
		return &not_an_address;
	length = (size_t)(colon - value);
	if (text_equals_nocase(text_span(value, length), TEXT("localhost")))
		return take_ipv4("127.0.0.1", (uint16_t)port, e);
	if (length == 0 || text_equals(text_span(value, length), TEXT("*")))
		return &not_loopback;
	if (length > 2 && value[0] == '[' && value[length - 1] == ']') {
		value++;
		length -= 2;
	}
	if (length >= sizeof host)
		return &not_an_address;
	memcpy(host, value, length);
	host[length] = '\0';
	return strchr(host, ':') != NULL ? take_ipv6(host, (uint16_t)port, e) : take_ipv4(host, (uint16_t)port, e);
}

enum error endpoint_parse(
	const char *value, struct endpoint *endpoint_out, const char **problem_out, const char **remedy_out)
{
	struct endpoint e = { .is_unix = false };
	const struct fault *fault = value[0] == '/' ? parse_path(value, &e) : parse_address(value, &e);

	if (fault != NULL) {
		*problem_out = fault->problem;
		*remedy_out = fault->remedy;
		return ERROR_CONFIG;
	}
	*endpoint_out = e;
	return ERROR_NONE;
}
