/* api_test.c: the resources, conventions and health of the API as a client sees them, on the real programs with their own database. Chat has tests of
 * its own; here its routes only take part in the walk that shows that nobody sees another owner's rows. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/arena.h"
#include "shared/error.h"
#include "shared/must.h"
#include "tests/support/server.h"

static struct arena memory; /* of one test */
static struct server *server;
static struct client client;

/* printf into the test's memory. */
static const char *keep(const char *pattern, ...) PRINTF(1, 2);
static const char *keep(const char *pattern, ...)
{
	va_list arguments;
	char line[4096];

	va_start(arguments, pattern);
	must((size_t)vsnprintf(line, sizeof line, pattern, arguments) < sizeof line);
	va_end(arguments);
	return arena_strndup(&memory, line, strlen(line));
}

static void setup(void)
{
	arena_init(&memory);
	/* 24 creations wait for each other's rows: on a slow machine longer than clients would like. */
	server = server_start((const char *[]) { "RENOVATIOND_DB_WAIT_TIMEOUT_MS=60000", NULL });
	server_owner(server, &client);
}

static void teardown(void)
{
	client_fini(&client);
	server_end(&server);
	arena_fini(&memory);
}

TestSuite(api, .init = setup, .fini = teardown, .timeout = 300);

#define LONG_MS 60000

/* One request; the status must be `status`. The body, NULL when it is no JSON, is for the caller to put. */
static struct json_object *ask(const char *method, const char *path, const char *headers, const char *body, int status)
{
	struct reply r = client_request(&client, method, path, headers, body);
	struct json_object *json = r.body_length > 0 ? reply_json(&r) : NULL;

	cr_assert_eq(r.status, status, "%s %s %s: %d %s", method, path, body != NULL ? body : "", r.status, r.body);
	reply_free(&r);
	return json;
}

static void ask_only(const char *method, const char *path, const char *headers, const char *body, int status)
{
	json_object_put(ask(method, path, headers, body, status));
}

/* The `id` of a new row. */
static const char *make(const char *path, const char *body)
{
	struct json_object *row = ask("POST", path, NULL, body, 201);
	const char *id = keep("%s", json_at(row, "id"));

	json_object_put(row);
	return id;
}

static size_t count_of(struct json_object *page)
{
	return json_object_array_length(json_object_object_get(page, "data"));
}

static void expect_problem(struct json_object *p, int status, const char *code, const char *path)
{
	struct json_object *errors = json_object_object_get(p, "errors");

	cr_expect_not(json_object_get_boolean(json_object_object_get(p, "success")));
	cr_expect_str_eq(json_at(p, "code"), code);
	cr_expect_str_eq(json_at(p, "type"), keep("/problems/%s", code));
	cr_expect_eq(json_object_get_int(json_object_object_get(p, "status")), status);
	cr_expect_str_eq(json_at(p, "error"), json_at(p, "detail"));
	cr_expect_not_null(json_at(p, "title"));
	cr_expect_not_null(json_at(p, "instance"));
	cr_expect_not_null(json_at(p, "requestId"));
	if (path != NULL) {
		cr_assert(json_object_array_length(errors) >= 1);
		cr_expect_str_eq(json_at(json_object_array_get_idx(errors, 0), "path"), path);
	}
	json_object_put(p);
}

Test(api, session_shows_what_was_promised)
{
	struct reply r = client_request(&client, "POST", "/api/sessions", NULL,
		"{\"title\":\"K\xC3\xBC"
		"che\",\"totalBudget\":\"15000.5\",\"address\":{\"city\":\"Bern\"}}");
	struct json_object *s = reply_json(&r);
	static const char *const members[] = { "id", "title", "phase", "totalBudget", "currency", "address", "summary",
		"plan", "userId", "conversationId", "rooms", "tasks", "openTasks", "createdAt", "updatedAt",
		"version" };

	cr_assert_eq(r.status, 201);
	cr_expect_eq((size_t)json_object_object_length(s), COUNT_OF(members));
	for (size_t i = 0; i < COUNT_OF(members); i++)
		cr_expect(json_object_object_get_ex(s, members[i], NULL), "%s is missing", members[i]);
	cr_expect_str_eq(json_at(s, "title"), "K\xC3\xBC"
					      "che");
	cr_expect_str_eq(json_at(s, "phase"), "INTAKE");
	cr_expect_str_eq(json_at(s, "totalBudget"), "15000.50");
	cr_expect_str_eq(json_at(s, "currency"), "USD");
	cr_expect_str_eq(json_at(s, "address.city"), "Bern");
	cr_expect_null(json_at(s, "userId"));
	cr_expect_eq(strlen(json_at(s, "createdAt")), strlen("2026-11-21T12:00:00.000Z"));
	cr_expect_str_eq(reply_header(&r, "Location"), keep("/api/sessions/%s", json_at(s, "id")));
	cr_expect_str_eq(reply_header(&r, "ETag"), "\"1\"");

	struct json_object *conversation =
		ask("GET", keep("/api/conversations/%s", json_at(s, "conversationId")), NULL, NULL, 200);

	cr_expect_str_eq(json_at(conversation, "sessionId"), json_at(s, "id"));
	cr_expect(json_object_get_boolean(json_object_object_get(conversation, "isDefault")));
	json_object_put(conversation);
	json_object_put(s);
	reply_free(&r);
}

Test(api, rows_of_each_kind_live_from_create_to_remove)
{
	const char *session = make("/api/sessions", "{\"title\":\"House\",\"currency\":\"CHF\"}");
	const struct {
		const char *list, *row, *body, *change, *member, *value;
	} kinds[] = {
		{ keep("/api/sessions/%s/rooms", session), "/api/rooms",
			"{\"name\":\"Bath\",\"lengthM\":2.5,\"widthM\":\"3.25\",\"budget\":\"10\"}",
			"{\"name\":\"Bathroom\",\"budget\":null}", "name", "Bathroom" },
		{ keep("/api/sessions/%s/products", session), "/api/products",
			"{\"name\":\"Tap\",\"price\":\"99.90\",\"quantity\":2}", "{\"status\":\"accepted\"}", "status",
			"accepted" },
		{ keep("/api/sessions/%s/contractors", session), "/api/contractors",
			"{\"name\":\"Joe\",\"rating\":4.5,\"quoteMin\":\"5\",\"quoteMax\":\"5\"}",
			"{\"trade\":\"plumbing\"}", "trade", "plumbing" },
		{ "/api/tasks", "/api/tasks", "{\"title\":\"Paint\",\"dueAt\":\"2027-01-01T10:00:00+02:00\"}",
			"{\"dueAt\":\"2027-01-02T00:00:00Z\"}", "dueAt", "2027-01-02T00:00:00.000Z" },
		{ "/api/conversations", "/api/conversations", "{}", "{\"title\":\"Tiles\"}", "title", "Tiles" },
	};

	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct json_object *before = ask("GET", kinds[i].list, NULL, NULL, 200);
		const char *row = keep("%s/%s", kinds[i].row, make(kinds[i].list, kinds[i].body));
		struct json_object *read = ask("GET", row, NULL, NULL, 200);
		struct json_object *page = ask("GET", kinds[i].list, NULL, NULL, 200);
		struct json_object *changed = ask("PATCH", row, NULL, kinds[i].change, 200);

		cr_expect_eq(json_object_get_int(json_object_object_get(read, "version")), 1);
		cr_expect_eq(json_object_get_int(json_object_object_get(changed, "version")), 2);
		cr_expect_str_eq(json_at(changed, kinds[i].member), kinds[i].value);
		cr_expect_eq(count_of(page), count_of(before) + 1, "%s", kinds[i].list);
		ask_only("DELETE", row, NULL, NULL, 204);
		ask_only("GET", row, NULL, NULL, 404);
		ask_only("PATCH", row, NULL, "{}", 404);
		ask_only("DELETE", row, NULL, NULL, 404);
		json_object_put(before);
		json_object_put(read);
		json_object_put(page);
		json_object_put(changed);
	}
	ask_only("DELETE", keep("/api/sessions/%s", session), NULL, NULL, 204);
	ask_only("GET", kinds[0].list, NULL, NULL, 404);
}

Test(api, refusals_say_what_and_where)
{
	const char *session = make("/api/sessions", "{\"title\":\"House\"}");
	const char *rooms = keep("/api/sessions/%s/rooms", session);
	const char *products = keep("/api/sessions/%s/products", session);
	const char *contractors = keep("/api/sessions/%s/contractors", session);

	(void)make(rooms, "{\"name\":\"Kitchen\"}");

	const struct {
		const char *method, *path, *body;
		int status;
		const char *code, *member;
	} rows[] = {
		{ "POST", "/api/sessions", "{}", 400, "validation_failed", "title" },
		{ "POST", "/api/sessions", "{\"title\":\"\"}", 400, "validation_failed", "title" },
		{ "POST", "/api/sessions", "{\"title\":\"a\",\"colour\":1}", 400, "validation_failed", "colour" },
		{ "POST", "/api/sessions", "{\"title\":\"a\",\"totalBudget\":15000}", 400, "validation_failed",
			"totalBudget" },
		{ "POST", "/api/sessions", "{\"title\":\"a\",\"phase\":\"PLAN\"}", 400, "validation_failed", "phase" },
		{ "POST", "/api/sessions", "{\"title\":\"a\",\"address\":{\"n\":1e999999}}", 400, "validation_failed",
			"" },
		{ "POST", "/api/sessions", "[]", 400, "validation_failed", "" },
		{ "POST", "/api/sessions", "{\"title\":\"a\"", 400, "invalid_json", NULL },
		{ "POST", "/api/sessions", "{\"title\":\"a\",\"title\":\"b\"}", 400, "invalid_json", NULL },
		{ "POST", "/api/sessions", "{\"title\":\"a\\u0000\"}", 400, "invalid_json", NULL },
		{ "POST", "/api/sessions", "{\"title\":\"\\ud800\"}", 400, "invalid_json", NULL },
		{ "POST", rooms, "{\"name\":\"KITCHEN\"}", 409, "conflict", "name" },
		{ "POST", products, keep("{\"name\":\"Tap\",\"roomId\":\"%s\"}", session), 400, "validation_failed",
			"roomId" },
		{ "POST", contractors, "{\"name\":\"Joe\",\"quoteMin\":\"9\",\"quoteMax\":\"8.99\"}", 400,
			"validation_failed", "quoteMax" },
		{ "POST", "/api/tasks", "{\"title\":\"a\",\"sessionId\":\"01a1fe2b-9fe5-7d3b-94db-87a4102dc11d\"}", 400,
			"validation_failed", "sessionId" },
		{ "GET", "/api/tasks?limit=0", NULL, 400, "validation_failed", "limit" },
		{ "GET", "/api/tasks?limit=101", NULL, 400, "validation_failed", "limit" },
		{ "GET", "/api/tasks?order=colour", NULL, 400, "validation_failed", "order" },
		{ "GET", "/api/tasks?status=finished", NULL, 400, "validation_failed", "status" },
		{ "GET", "/api/tasks?cursor=abc", NULL, 400, "invalid_cursor", NULL },
		{ "GET", "/api/sessions/1", NULL, 404, "not_found", NULL },
		{ "PUT", "/api/sessions", "{}", 405, "method_not_allowed", NULL },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct json_object *p = ask(rows[i].method, rows[i].path, NULL, rows[i].body, rows[i].status);

		expect_problem(p, rows[i].status, rows[i].code, rows[i].member);
	}
}

Test(api, anonymous_owner_has_a_token_that_only_they_know)
{
	struct client other;
	struct reply r;
	struct json_object *j;

	client_init(&other, server->port);
	r = client_request(&other, "POST", "/api/anonymous", NULL, NULL);
	j = reply_json(&r);
	cr_assert_eq(r.status, 201);
	cr_expect_str_eq(json_at(j, "ownerToken"), reply_header(&r, "X-Owner-Token"));
	cr_expect_not_null(json_at(j, "expiresAt"));
	cr_expect(strstr(reply_header(&r, "Set-Cookie"), "HttpOnly; SameSite=Lax") != NULL);
	cr_expect_null(strstr(reply_header(&r, "Set-Cookie"), "Secure"));

	/* The cookie alone does as well; the database holds no clear token. */
	const char *token = keep("%s", json_at(j, "ownerToken"));

	other.token[0] = '\0';
	reply_free(&r);
	r = client_request(&other, "GET", "/api/sessions", keep("Cookie: a=b; renovationd_owner=%s\r\n", token), NULL);
	cr_expect_eq(r.status, 200);
	cr_expect_eq(
		cluster_count(server->cluster, server->database,
			keep("SELECT count(*) FROM renovationd.owners WHERE token_hash = sha256('%s'::bytea)", token)),
		1);
	json_object_put(j);
	reply_free(&r);

	static const struct {
		const char *headers;
		int status;
		const char *code;
	} rows[] = { { "", 401, "credentials_required" }, { "X-Owner-Token: ro_short\r\n", 401, "invalid_credentials" },
		{ "X-Owner-Token: ro_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n", 401, "invalid_credentials" },
		{ "Cookie: renovationd_owner=x\r\n", 401, "invalid_credentials" },
		{ "Authorization: Bearer abc\r\n", 401, "invalid_credentials" } };

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		r = client_request(&other, "GET", "/api/sessions", rows[i].headers, NULL);
		cr_expect_eq(r.status, rows[i].status, "%s", rows[i].headers);
		expect_problem(reply_json(&r), rows[i].status, rows[i].code, NULL);
		reply_free(&r);
	}

	/* A first create without a token mints one; behind a TLS proxy the cookie is Secure. */
	r = client_request(&other, "POST", "/api/tasks", NULL, "{\"title\":\"first\"}");
	cr_expect_eq(r.status, 201);
	cr_expect_not_null(reply_header(&r, "X-Owner-Token"));
	cr_expect_null(reply_header(&r, "Set-Cookie"));
	reply_free(&r);
	r = client_request(&other, "POST", "/api/anonymous", "X-Forwarded-Proto: https\r\n", NULL);
	cr_expect(strstr(reply_header(&r, "Set-Cookie"), "; Secure") != NULL);
	reply_free(&r);

	/* Erased: nothing of the owner is left. */
	r = client_request(&other, "DELETE", "/api/me", NULL, NULL);
	cr_expect_eq(r.status, 204);
	reply_free(&r);
	client_fini(&other);
}

/* ---- another owner's rows -------------------------------------------------------------------------------------------------- */

/* One row of each kind of the first owner: path prefix and an id below it. */
struct owned {
	const char *prefix;
	char id[40];
};

static const char *id_for(const struct owned owned[], size_t count, const char *path)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(path, owned[i].prefix, strlen(owned[i].prefix)) == 0)
			return owned[i].id;
	return NULL;
}

static const char *body_for(const char *method, const char *path)
{
	static const char *const named[] = { "/rooms", "/products", "/contractors" };
	const char *end = strrchr(path, '/');

	if (strcmp(method, "PATCH") != 0 && strcmp(method, "POST") != 0)
		return NULL;
	if (strcmp(end, "/messages") == 0)
		return "{\"content\":\"hello\"}";
	for (size_t i = 0; i < COUNT_OF(named); i++)
		if (strcmp(end, named[i]) == 0)
			return "{\"name\":\"x\"}";
	return "{}";
}

static char *print_routes(void)
{
	char *out = NULL;

	cr_assert_eq(process_run((const char *[]) { program_path("renovationd-worker"), "--print-routes", NULL }, NULL,
			     &out, NULL, LONG_MS),
		0);
	return out;
}

static void make_owned(struct owned owned[6])
{
	const char *session = make("/api/sessions", "{\"title\":\"Mine\"}");
	static const char *const prefixes[] = { "/api/sessions/", "/api/rooms/", "/api/products/", "/api/contractors/",
		"/api/tasks/", "/api/conversations/" };
	const char *ids[] = { session, make(keep("/api/sessions/%s/rooms", session), "{\"name\":\"r\"}"),
		make(keep("/api/sessions/%s/products", session), "{\"name\":\"p\"}"),
		make(keep("/api/sessions/%s/contractors", session), "{\"name\":\"c\"}"),
		make("/api/tasks", keep("{\"title\":\"t\",\"sessionId\":\"%s\"}", session)),
		make("/api/conversations", "{}") };

	for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
		owned[i].prefix = prefixes[i];
		(void)snprintf(owned[i].id, sizeof owned[i].id, "%s", ids[i]);
	}
}

/* A turn of the owner, when there is chat. */
static void make_turn(struct owned *turn, const char *conversation)
{
	struct reply r = client_request(
		&client, "POST", keep("/api/conversations/%s/messages", conversation), NULL, "{\"content\":\"hello\"}");

	turn->prefix = "/api/turns/";
	(void)snprintf(turn->id, sizeof turn->id, "01a1fe2b-9fe5-7d3b-94db-87a4102dc11d");
	if (r.status == 202) {
		struct json_object *j = reply_json(&r);

		(void)snprintf(turn->id, sizeof turn->id, "%s", json_at(j, "turn.id"));
		json_object_put(j);
	}
	reply_free(&r);
}

static int expect_hidden(struct client *who, const char *method, const char *path, const char *id)
{
	const char *brace = strchr(path, '{'), *rest = strchr(path, '}') + 1;
	const char *address = keep("%.*s%s%s", (int)(brace - path), path, id, rest);
	struct reply r = client_request(who, method, address, NULL, body_for(method, path));
	int status = r.status;

	cr_expect_eq(status, 404, "%s %s with %s: %d %s", method, path,
		who->token[0] != '\0' ? "another's token" : "no token", status, r.body);
	reply_free(&r);
	return status;
}

Test(api, another_owners_rows_are_404_on_every_route)
{
	struct owned owned[7];
	struct client stranger, nobody;
	char *routes = print_routes(), *rest = NULL;
	int walked = 0;

	make_owned(owned);
	make_turn(&owned[6], owned[5].id);
	server_owner(server, &stranger);
	client_init(&nobody, server->port);
	for (char *line = strtok_r(routes, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		char *save = NULL, *method = strtok_r(line, "\t", &save), *path = strtok_r(NULL, "\t", &save);

		if (strstr(path, "{id}") == NULL)
			continue;

		const char *id = id_for(owned, COUNT_OF(owned), path);

		cr_assert_not_null(id, "%s: teach this test which row belongs there", path);
		(void)expect_hidden(&stranger, method, path, id);
		(void)expect_hidden(&nobody, method, path, id);
		walked++;
	}
	cr_expect(walked >= 29, "%d routes", walked);
	for (size_t i = 0; i < 6; i++)
		ask_only("GET", keep("%s%s", owned[i].prefix, owned[i].id), NULL, NULL, 200);
	free(routes);
	client_fini(&stranger);
	client_fini(&nobody);
}

/* ---- conditions, keys, pages ----------------------------------------------------------------------------------------------- */

static const char *simple_request(
	const struct client *c, const char *method, const char *path, const char *headers, const char *body)
{
	return keep("%s %s HTTP/1.1\r\nHost: x\r\nX-Owner-Token: %s\r\n%sContent-Type: "
		    "application/json\r\nContent-Length: %zu\r\n\r\n%s",
		method, path, c->token, headers, strlen(body), body);
}

Test(api, versions_guard_changes)
{
	const char *row = keep("/api/sessions/%s", make("/api/sessions", "{\"title\":\"a\"}"));
	struct client both[2];
	int statuses[2];

	ask_only("GET", row, "If-None-Match: \"1\"\r\n", NULL, 304);
	ask_only("GET", row, "If-None-Match: W/\"1\", \"9\"\r\n", NULL, 304);
	ask_only("GET", row, "If-None-Match: \"2\"\r\n", NULL, 200);
	ask_only("PATCH", row, "If-Match: \"2\"\r\n", "{\"title\":\"b\"}", 412);
	ask_only("PATCH", row, "If-Match: W/\"1\"\r\n", "{\"title\":\"b\"}", 412);
	ask_only("DELETE", row, "If-Match: \"2\"\r\n", NULL, 412);

	/* Two at once with one ETag: one wins. */
	for (int i = 0; i < 2; i++) {
		const char *request;

		client_init(&both[i], server->port);
		(void)snprintf(both[i].token, sizeof both[i].token, "%s", client.token);
		cr_assert(client_connect(&both[i]));
		request = simple_request(&both[i], "PATCH", row, "If-Match: \"1\"\r\n", "{\"title\":\"c\"}");
		cr_assert(client_send(&both[i], request, strlen(request)));
	}
	for (int i = 0; i < 2; i++) {
		struct reply r = client_receive(&both[i], false);

		statuses[i] = r.status;
		reply_free(&r);
		client_fini(&both[i]);
	}
	cr_expect((statuses[0] == 200 && statuses[1] == 412) || (statuses[0] == 412 && statuses[1] == 200), "%d and %d",
		statuses[0], statuses[1]);
	ask_only("PATCH", row, "If-Match: *\r\n", "{\"title\":\"d\",\"totalBudget\":\"1\"}", 200);
	ask_only("DELETE", row, "If-Match: \"1\", \"3\"\r\n", NULL, 204);
}

Test(api, session_tag_changes_with_its_counts)
{
	const char *session = make("/api/sessions", "{\"title\":\"a\"}");
	const char *row = keep("/api/sessions/%s", session);
	struct reply r;

	(void)make(keep("%s/rooms", row), "{\"name\":\"r\"}");
	ask_only("GET", row, "If-None-Match: \"1\"\r\n", NULL, 200);
	r = client_request(&client, "GET", row, NULL, NULL);

	const char *tag = keep("%s", reply_header(&r, "ETag"));

	reply_free(&r);
	ask_only("GET", row, keep("If-None-Match: %s\r\n", tag), NULL, 304);
	ask_only("PATCH", row, keep("If-Match: %s\r\n", tag), "{\"title\":\"b\"}", 200);
	ask_only("PATCH", row, "If-Match: \"2\"\r\n", "{\"title\":\"c\"}", 200);
}

#define AT_ONCE 24

/* The same create on many connections at the same time. Gives the number of replays; all must bring the same row. */
static int create_at_once(const char *path, const char *key, const char *body)
{
	struct client clients[AT_ONCE];
	char first[64] = "";
	int replayed = 0;

	for (int i = 0; i < AT_ONCE; i++) {
		const char *request;

		client_init(&clients[i], server->port);
		(void)snprintf(clients[i].token, sizeof clients[i].token, "%s", client.token);
		cr_assert(client_connect(&clients[i]));
		request = simple_request(&clients[i], "POST", path, keep("Idempotency-Key: %s\r\n", key), body);
		cr_assert(client_send(&clients[i], request, strlen(request)));
	}
	for (int i = 0; i < AT_ONCE; i++) {
		struct reply r = client_receive(&clients[i], false);
		struct json_object *j = reply_json(&r);

		cr_assert_eq(r.status, 201, "%s", r.body);
		replayed += reply_header(&r, "Idempotent-Replayed") != NULL;
		cr_expect_str_eq(reply_header(&r, "ETag"), "\"1\"");
		cr_expect_not_null(reply_header(&r, "Location"));
		if (first[0] == '\0')
			(void)snprintf(first, sizeof first, "%s", json_at(j, "id"));
		cr_expect_str_eq(json_at(j, "id"), first);
		json_object_put(j);
		reply_free(&r);
		client_fini(&clients[i]);
	}
	return replayed;
}

Test(api, idempotency_key_makes_one_row)
{
	const char *session = make("/api/sessions", "{\"title\":\"a\"}");
	const char *rooms = keep("/api/sessions/%s/rooms", session);

	cr_expect_eq(create_at_once("/api/tasks", "k-1", "{\"title\":\"once\"}"), AT_ONCE - 1);
	cr_expect_eq(create_at_once(rooms, "\"k-1\"", "{\"name\":\"once\"}"), AT_ONCE - 1);
	cr_expect_eq(create_at_once("/api/sessions", "k-1", "{\"title\":\"once\"}"), AT_ONCE - 1);
	cr_expect_eq(cluster_count(server->cluster, server->database, "SELECT count(*) FROM renovationd.tasks"), 1);
	cr_expect_eq(
		cluster_count(server->cluster, server->database, "SELECT count(*) FROM renovationd.renovation_rooms"),
		1);
	cr_expect_eq(
		cluster_count(server->cluster, server->database, "SELECT count(*) FROM renovationd.conversations"), 2);
	expect_problem(ask("POST", "/api/tasks", "Idempotency-Key: k-1\r\n", "{\"title\":\"other\"}", 422), 422,
		"idempotency_key_reused", NULL);
	expect_problem(ask("POST", "/api/tasks", "Idempotency-Key: k 1\r\n", "{\"title\":\"other\"}", 400), 400,
		"validation_failed", "Idempotency-Key");

	/* What was refused is not remembered. */
	ask_only("POST", "/api/tasks", "Idempotency-Key: k-2\r\n", "{\"title\":\"\"}", 400);
	ask_only("POST", "/api/tasks", "Idempotency-Key: k-2\r\n", "{\"title\":\"right\"}", 201);
}

static bool is_swept(void *arg)
{
	(void)arg;
	return cluster_count(server->cluster, server->database, "SELECT count(*) FROM renovationd.idempotency_keys") ==
	       1;
}

Test(upkeep, old_keys_are_forgotten, .fini = teardown, .timeout = 300)
{
	arena_init(&memory);
	server = server_start((const char *[]) { "RENOVATIOND_UPKEEP_INTERVAL_S=1", NULL });
	server_owner(server, &client);
	ask_only("POST", "/api/tasks", "Idempotency-Key: old\r\n", "{\"title\":\"a\"}", 201);
	ask_only("POST", "/api/tasks", "Idempotency-Key: new\r\n", "{\"title\":\"b\"}", 201);
	free(cluster_sql(server->cluster, server->database,
		"UPDATE renovationd.idempotency_keys SET expires_at = now() - interval '1 s' WHERE key = 'old'"));
	wait_until(is_swept, NULL, "the old key is gone and the new one stays", LONG_MS);
	ask_only("POST", "/api/tasks", "Idempotency-Key: old\r\n", "{\"title\":\"c\"}", 201);
}

static void walk_pages(const char *order, int rows)
{
	char cursor[200] = "";
	char seen[64][40];
	int count = 0;

	for (;;) {
		struct json_object *page =
			ask("GET", keep("/api/tasks?limit=7&order=%s&status=open%s", order, cursor), NULL, NULL, 200);
		const char *next = json_at(page, "nextCursor");

		for (size_t i = 0; i < count_of(page); i++) {
			const char *id =
				json_at(json_object_array_get_idx(json_object_object_get(page, "data"), i), "id");

			for (int k = 0; k < count; k++)
				cr_expect_str_neq(seen[k], id, "twice in %s", order);
			must(count < 64);
			(void)snprintf(seen[count++], sizeof seen[0], "%s", id);
		}
		(void)make(
			"/api/tasks", "{\"title\":\"in between\",\"position\":0,\"dueAt\":\"2020-01-01T00:00:00Z\"}");
		if (next == NULL) {
			json_object_put(page);
			break;
		}
		cr_expect_eq(count_of(page), 7);
		(void)snprintf(cursor, sizeof cursor, "&cursor=%s", next);
		json_object_put(page);
	}
	cr_expect(count >= rows, "%s: %d of %d", order, count, rows);
}

Test(api, pages_miss_nothing_and_repeat_nothing_while_rows_come)
{
	struct reply r;

	for (int i = 0; i < 30; i++)
		(void)make("/api/tasks", keep("{\"title\":\"t%d\",\"position\":%d%s}", i, i % 4,
						 i % 3 == 0 ? ",\"dueAt\":\"2027-01-01T00:00:00Z\"" : ""));
	(void)make("/api/tasks", "{\"title\":\"not open\",\"status\":\"done\"}");
	walk_pages("position", 30);
	walk_pages("dueAt", 30);
	r = client_request(&client, "GET", "/api/tasks?limit=2", NULL, NULL);

	struct json_object *page = reply_json(&r);
	const char *next = keep("%s", json_at(page, "nextCursor"));

	cr_expect_str_eq(
		reply_header(&r, "Link"), keep("</api/tasks?limit=2&order=position&cursor=%s>; rel=\"next\"", next));
	json_object_put(page);
	reply_free(&r);
	ask_only("GET", keep("/api/tasks?cursor=%s", next), NULL, NULL, 200);
	ask_only("GET", keep("/api/tasks?status=open&cursor=%s", next), NULL, NULL, 400);
	ask_only("GET", keep("/api/sessions?cursor=%s", next), NULL, NULL, 400);

	struct client stranger;

	server_owner(server, &stranger);
	r = client_request(&stranger, "GET", keep("/api/tasks?cursor=%s", next), NULL, NULL);
	cr_expect_eq(r.status, 400);
	reply_free(&r);
	client_fini(&stranger);
}

Test(api, tasks_are_completed_and_reopened)
{
	const char *task = make("/api/tasks", "{\"title\":\"Paint\"}");
	struct json_object *t;

	for (int i = 0; i < 2; i++) {
		t = ask("POST", keep("/api/tasks/%s/complete", task), NULL, NULL, 200);
		cr_expect_str_eq(json_at(t, "status"), "done");
		cr_expect_not_null(json_at(t, "completedAt"));
		cr_expect_eq(json_object_get_int(json_object_object_get(t, "version")), 2);
		json_object_put(t);
	}
	t = ask("POST", keep("/api/tasks/%s/reopen", task), NULL, "{}", 200);
	cr_expect_str_eq(json_at(t, "status"), "open");
	cr_expect_null(json_at(t, "completedAt"));
	json_object_put(t);
	ask_only("POST", keep("/api/tasks/%s/complete", task), NULL, "{\"x\":1}", 400);
	ask_only("POST", keep("/api/tasks/%s/complete", task), "If-Match: \"1\"\r\n", NULL, 412);
}

/* ---- health, page, description --------------------------------------------------------------------------------------------- */

/* What it says when it is ready; put it. The database has 800 ms to answer the probe, which may be too short on a slow machine. */
static struct json_object *ask_readiness(const char *path)
{
	int64_t give_up = now_ms() + LONG_MS;
	struct reply r;
	struct json_object *json;

	while ((r = client_request(&client, "GET", path, NULL, NULL)).status != 200) {
		cr_assert(now_ms() < give_up, "%s: %d %s", path, r.status, r.body);
		reply_free(&r);
		pause_ms(100);
	}
	json = reply_json(&r);
	reply_free(&r);
	return json;
}

Test(api, health_says_how_it_is)
{
	static const char *const alive[] = { "/health", "/api/health", "/health/live", "/livez" };
	struct json_object *j;

	json_object_put(ask_readiness("/readyz"));
	for (size_t i = 0; i < COUNT_OF(alive); i++)
		ask_only("GET", alive[i], NULL, NULL, 200);
	j = ask("GET", "/health", NULL, NULL, 200);
	cr_expect_str_eq(json_at(j, "environment"), "test");
	cr_expect_not_null(json_at(j, "timestamp"));
	cr_expect_not_null(json_at(j, "version"));
	json_object_put(j);
	j = ask_readiness("/health/ready");
	cr_expect_str_eq(json_at(j, "checks.database.status"), "up");
	cr_expect_str_eq(json_at(j, "checks.migrations.status"), "up");
	cr_expect_not_null(json_at(j, "checks.gemini.status"));
	cr_expect_not_null(json_at(j, "checks.features.status"));
	json_object_put(j);
	j = ask("GET", "/health/status", NULL, NULL, 200);
	cr_expect_eq(json_object_array_length(json_object_object_get(j, "workers")), 2);
	cr_expect(json_object_get_boolean(
		json_object_object_get(json_object_object_get(j, "features"), "geminiSimulator")));
	cr_expect(json_object_get_int64(json_object_object_get(json_object_object_get(j, "memory"), "rssBytes")) >
		  1000000);
	cr_expect_null(strstr(json_object_to_json_string(j), "secret"));
	json_object_put(j);
}

Test(api, page_comes_with_its_policy_and_files)
{
	struct reply r = client_request(&client, "GET", "/", "Accept: text/html,*/*;q=0.8\r\n", NULL);

	cr_assert_eq(r.status, 200);
	cr_expect(strstr(reply_header(&r, "Content-Type"), "text/html") != NULL);
	cr_expect(strstr(reply_header(&r, "Content-Security-Policy"), "script-src 'self'") != NULL);
	cr_expect_null(strstr(reply_header(&r, "Content-Security-Policy"), "unsafe"));

	const char *tag = keep("%s", reply_header(&r, "ETag"));
	int files = 0;

	for (char *at = strstr(r.body, "\"/assets/"); at != NULL; at = strstr(at + 1, "\"/assets/")) {
		const char *path = keep("%.*s", (int)strcspn(at + 1, "\""), at + 1);
		struct reply file = client_request(&client, "GET", path, NULL, NULL);

		cr_expect_eq(file.status, 200, "%s", path);
		reply_free(&file);
		files++;
	}
	cr_expect(files > 5);
	reply_free(&r);
	r = client_request(&client, "GET", "/", keep("Accept: text/html\r\nIf-None-Match: %s\r\n", tag), NULL);
	cr_expect_eq(r.status, 304);
	reply_free(&r);
	ask_only("GET", "/", "Accept: application/json\r\n", NULL, 200);
	ask_only("GET", "/assets/nothing.js", NULL, NULL, 404);
}

Test(api, each_problem_has_a_page)
{
	for (int e = ERROR_NONE + 1; e < ERROR_SYSTEM; e++) {
		struct json_object *j = ask("GET", keep("/problems/%s", error_code((enum error)e)), NULL, NULL, 200);

		cr_expect_str_eq(json_at(j, "code"), error_code((enum error)e));
		cr_expect_not_null(json_at(j, "remedy"));
		json_object_put(j);
	}
	ask_only("GET", "/problems/nothing", NULL, NULL, 404);
}

Test(api, description_holds_every_route)
{
	struct json_object *description = ask("GET", "/openapi.json", NULL, NULL, 200);
	struct json_object *paths = json_object_object_get(description, "paths");
	char *routes = print_routes(), *rest = NULL;
	int count = 0;

	cr_expect_str_eq(json_at(description, "openapi"), "3.1.0");
	for (char *line = strtok_r(routes, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		char *save = NULL, *method = strtok_r(line, "\t", &save), *path = strtok_r(NULL, "\t", &save);
		bool is_operators = strcmp(strtok_r(NULL, "\t", &save), "admin") == 0;
		struct json_object *operations, *operation;

		if (is_operators) {
			cr_expect(!json_object_object_get_ex(paths, path, NULL), "%s is nobody else's business", path);
			continue;
		}
		for (char *c = method; *c != '\0'; c++)
			*c |= 0x20;
		cr_assert(json_object_object_get_ex(paths, path, &operations), "%s", path);
		cr_assert(json_object_object_get_ex(operations, method, &operation), "%s %s", method, path);
		cr_expect_not_null(json_at(operation, "operationId"));
		cr_expect_not_null(json_at(operation, "summary"));
		count++;
	}
	cr_expect(count > 40);
	cr_expect_str_eq(json_at(paths, "/api/chat.post.parameters.0.$ref"), "#/components/parameters/questionKey");
	cr_expect_str_eq(json_at(description, "components.parameters.questionKey.name"), "Idempotency-Key");
	free(routes);
	json_object_put(description);
}
