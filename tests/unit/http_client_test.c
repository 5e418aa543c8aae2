/* http_client_test.c: whose address a request has: the peer's, or the one that trusted proxies have seen; never one that a client wrote itself. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/httpd.h"

static void echo(struct request *rq)
{
	response_send(rq, 200, "text/plain", text_of(rq->client));
}

static const struct route routes[] = { { .method = METHOD_GET, .path = "/", .handle = echo, .summary = "whose" } };

static struct httpd h;

static void set_trusted(const char *list)
{
	const char *expected;

	cr_assert(options_set(&h.limits, OPTION_trusted_proxies, text_of(list), &expected));
	http_options_changed(h.server);
}

/* `fields` are whole lines. */
static const char *client_of(const char *fields)
{
	static struct answer answer;
	char request[2048];

	(void)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", fields);
	httpd_ask(&h, request, &answer);
	cr_assert_eq(answer.status, 200);
	return answer.body;
}

static void open_server(void)
{
	httpd_open(&h, routes, COUNT_OF(routes), NULL, NULL);
}

static void close_server(void)
{
	httpd_close(&h);
}

TestSuite(http_client, .init = open_server, .fini = close_server);

Test(http_client, a_peer_that_is_not_trusted_is_the_client_whatever_it_says)
{
	set_trusted("192.0.2.0/24");
	cr_expect_str_eq(client_of("X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n"), "127.0.0.1");
	set_trusted("");
	cr_expect_str_eq(client_of("X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\n"), "127.0.0.1");
}

Test(http_client, the_rightmost_address_that_is_not_a_proxys_is_the_client)
{
	static const struct {
		const char *fields, *client;
	} cases[] = {
		{ "", "127.0.0.1" },
		{ "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9" },
		{ "X-Forwarded-For: 1.1.1.1, 203.0.113.9\r\n", "203.0.113.9" },
		{ "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.7\r\n", "203.0.113.9" },
		{ "X-Forwarded-For: 10.0.0.9,10.0.0.7\r\n", "10.0.0.9" },
		{ "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9" },
		{ "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 10.0.0.7\r\n", "203.0.113.9" },
		{ "X-Forwarded-For: 203.0.113.9:4711\r\n", "203.0.113.9" },
		{ "X-Forwarded-For: [2001:db8::5]:4711\r\n", "2001:db8::5" },
		{ "X-Forwarded-For: 2001:DB8::5\r\n", "2001:db8::5" },
		{ "X-Forwarded-For: ::ffff:203.0.113.9\r\n", "203.0.113.9" },
		{ "X-Forwarded-For: 203.0.113.9, unknown\r\n", "127.0.0.1" },
		{ "X-Forwarded-For: unknown, 10.0.0.7\r\n", "10.0.0.7" },
		{ "X-Forwarded-For: ,\r\n", "127.0.0.1" },
		{ "X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 1.1.1.1\r\n", "203.0.113.9" },
		{ "X-Real-IP: 203.0.113.9\r\n", "203.0.113.9" },
		{ "X-Real-IP: nonsense\r\n", "127.0.0.1" },
	};

	set_trusted("127.0.0.1, 10.0.0.0/8");
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		cr_expect_str_eq(client_of(cases[i].fields), cases[i].client, "%s", cases[i].fields);
}

Test(http_client, whoever_reaches_a_unix_socket_is_believed)
{
	struct answer answer;
	int pair[2];

	set_trusted("");
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	http_adopt(h.server, pair[0], "unix", true);
	httpd_send(&h, pair[1], TEXT("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"));
	httpd_read(&h, pair[1], false, &answer);
	cr_expect_str_eq(answer.body, "203.0.113.9");
	(void)close(pair[1]);
}
