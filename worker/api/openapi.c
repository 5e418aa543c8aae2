/* openapi.c: OpenAPI 3.1 from the route table; what resource routes take and answer comes from the resource table (schemas.c). Named by
 * routes.c. Routes with handlers of their own are described by their summary only; every route is in it but the operator's, a test checks. */
#include "config.h"
#include "worker/api/openapi.h"

#include <openssl/sha.h>
#include <stdio.h>

#include "worker/api/etag.h"
#include "worker/api/resource.h"
#include "worker/api/schemas.h"
#include "worker/api/writer.h"
#include "worker/chat/chat.h"
#include "worker/http/response.h"

static const char *const method_names[METHOD_COUNT] = { [METHOD_GET] = "get",
	[METHOD_HEAD] = "head",
	[METHOD_POST] = "post",
	[METHOD_PUT] = "put",
	[METHOD_PATCH] = "patch",
	[METHOD_DELETE] = "delete",
	[METHOD_OPTIONS] = "options" };

/* "get_api_sessions_id_rooms" */
static void write_operation_id(struct buffer *out, const struct route *route)
{
	struct buffer id;

	buffer_init(&id);
	buffer_append_string(&id, method_names[route->method]);
	for (const char *p = route->path; *p != '\0'; p++) {
		bool is_word = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');

		if (is_word)
			buffer_append_char(&id, *p);
		else if (buffer_text(&id).bytes[buffer_length(&id) - 1] != '_' && p[1] != '\0' && *p != '}')
			buffer_append_char(&id, '_');
	}
	write_name(out, "operationId");
	json_write_string(out, buffer_text(&id));
	buffer_fini(&id);
}

/* Only these handlers have a resource as their detail. */
static bool is_resource(const struct route *route)
{
	return route->handle == resource_list || route->handle == resource_create || route->handle == resource_read ||
	       route->handle == resource_update || route->handle == resource_remove;
}

static const char *tag_of(const struct route *route)
{
	if (is_resource(route))
		return ((const struct resource *)route->detail)->name;
	if (strncmp(route->path, "/api/chat", 9) == 0 || strncmp(route->path, "/api/turns", 10) == 0 ||
		strstr(route->path, "/messages") != NULL)
		return "chat";
	if (strncmp(route->path, "/api/anonymous", 14) == 0)
		return "me";
	return "service";
}

static bool is_uuid_name(struct text name)
{
	return text_equals(name, TEXT("id")) ||
	       (name.length > 2 && (text_equals(text_span(name.bytes + name.length - 2, 2), TEXT("id")) ||
					   text_equals(text_span(name.bytes + name.length - 2, 2), TEXT("Id"))));
}

static void write_path_params(struct buffer *out, const char *path)
{
	for (const char *open = strchr(path, '{'); open != NULL; open = strchr(open + 1, '{')) {
		struct text name = text_span(open + 1, strcspn(open + 1, "}"));

		write_open(out, NULL, '{');
		write_name(out, "name");
		json_write_string(out, name);
		write_string(out, "in", "path");
		write_raw(out, "required", "true");
		write_raw(out, "schema",
			is_uuid_name(name) ? "{\"type\":\"string\",\"format\":\"uuid\"}" : "{\"type\":\"string\"}");
		write_close(out, '}');
	}
}

static void write_ref(struct buffer *out, const char *kind, const char *name)
{
	write_separator(out);
	buffer_printf(out, "{\"$ref\":\"#/components/%s/%s\"}", kind, name);
}

static void write_order(struct buffer *out, const struct resource *r)
{
	write_open(out, NULL, '{');
	write_string(out, "name", "order");
	write_string(out, "in", "query");
	write_string(out, "description", "The first is the default");
	write_open(out, "schema", '{');
	write_string(out, "type", "string");
	write_open(out, "enum", '[');
	for (const struct resource_order *o = r->orders; o->name != NULL; o++)
		write_string(out, NULL, o->name);
	write_close(out, ']');
	write_close(out, '}');
	write_close(out, '}');
}

static void write_list_params(struct buffer *out, const struct resource *r)
{
	write_ref(out, "parameters", "limit");
	write_ref(out, "parameters", "cursor");
	write_order(out, r);
	for (const struct resource_filter *f = r->filters; f != NULL && f->param != NULL; f++) {
		write_open(out, NULL, '{');
		write_string(out, "name", f->field->name);
		write_string(out, "in", "query");
		schema_write_field(out, "schema", f->field, SCHEMA_CREATE);
		write_close(out, '}');
	}
}

static bool asks(const struct route *route)
{
	return route->handle == chat_ask_conversation || route->handle == chat_ask_session ||
	       route->handle == chat_facade_ask;
}

static void write_params(struct buffer *out, const struct route *route)
{
	write_open(out, "parameters", '[');
	write_path_params(out, route->path);
	if (route->handle == resource_list)
		write_list_params(out, route->detail);
	else if (route->handle == resource_create)
		write_ref(out, "parameters", "idempotencyKey");
	else if (asks(route))
		write_ref(out, "parameters", "questionKey");
	else if (route->handle == resource_read)
		write_ref(out, "parameters", "ifNoneMatch");
	else if (route->handle == resource_update || route->handle == resource_remove)
		write_ref(out, "parameters", "ifMatch");
	write_close(out, ']');
}

static bool takes_fields(const struct route *route)
{
	return route->body == BODY_JSON && (route->handle == resource_create || route->handle == resource_update);
}

static void write_body(struct buffer *out, const struct route *route)
{
	const struct resource *r = route->detail;

	if (route->body == BODY_NONE)
		return;
	write_separator(out);
	if (takes_fields(route))
		buffer_printf(out,
			"\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":"
			"{\"$ref\":\"#/components/schemas/%s%s\"}}}}",
			r->title, route->handle == resource_create ? "Create" : "Update");
	else
		buffer_printf(out,
			"\"requestBody\":{\"required\":%s,\"content\":{\"application/json\":{\"schema\":"
			"{\"type\":\"object\"}}}}",
			route->body == BODY_JSON ? "true" : "false");
}

static void write_answer(struct buffer *out, const char *status, const char *what, const char *headers,
	const char *title, const char *suffix)
{
	write_separator(out);
	buffer_printf(out, "\"%s\":{\"description\":\"%s\"", status, what);
	if (headers[0] != '\0')
		buffer_printf(out, ",\"headers\":{%s}", headers);
	if (title != NULL)
		buffer_printf(out,
			",\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/%s%s\"}}}",
			title, suffix);
	buffer_append_char(out, '}');
}

#define TAG_HEADER "\"ETag\":{\"$ref\":\"#/components/headers/ETag\"}"

static void write_responses(struct buffer *out, const struct route *route)
{
	const struct resource *r = route->detail;

	write_open(out, "responses", '{');
	if (route->handle == resource_list) {
		write_answer(
			out, "200", "A page", "\"Link\":{\"$ref\":\"#/components/headers/Link\"}", r->title, "Page");
	} else if (route->handle == resource_create) {
		write_answer(out, "201", "Made, or the answer of the same Idempotency-Key",
			"\"Location\":{\"$ref\":\"#/components/headers/Location\"}," TAG_HEADER, r->title, "");
	} else if (route->handle == resource_read) {
		write_answer(out, "200", "The row", TAG_HEADER, r->title, "");
		write_answer(out, "304", "It is as you know it", TAG_HEADER, NULL, "");
	} else if (route->handle == resource_update) {
		write_answer(out, "200", "The row after it", TAG_HEADER, r->title, "");
	} else if (route->handle == resource_remove) {
		write_answer(out, "204", "Removed", "", NULL, "");
	} else {
		write_answer(out, "2XX", "Done", "", NULL, "");
	}
	write_raw(out, "4XX", "{\"$ref\":\"#/components/responses/Problem\"}");
	write_raw(out, "5XX", "{\"$ref\":\"#/components/responses/Problem\"}");
	write_close(out, '}');
}

static void write_operation(struct buffer *out, const struct route *route)
{
	write_open(out, method_names[route->method], '{');
	write_operation_id(out, route);
	write_string(out, "summary", route->summary);
	write_open(out, "tags", '[');
	write_string(out, NULL, tag_of(route));
	write_close(out, ']');
	if (route->auth == AUTH_NONE)
		write_raw(out, "security", "[]");
	else if (route->auth != AUTH_OWNER)
		write_raw(out, "security", "[{},{\"ownerToken\":[]},{\"ownerCookie\":[]}]");
	write_params(out, route);
	write_body(out, route);
	write_responses(out, route);
	write_close(out, '}');
}

static void write_paths(struct buffer *out, const struct route routes[], size_t count)
{
	write_open(out, "paths", '{');
	for (size_t i = 0; i < count; i++) {
		bool is_seen = false;

		for (size_t k = 0; k < i; k++)
			is_seen = is_seen || strcmp(routes[k].path, routes[i].path) == 0;
		if (is_seen || routes[i].auth == AUTH_ADMIN)
			continue;
		write_open(out, routes[i].path, '{');
		for (size_t k = i; k < count; k++)
			if (strcmp(routes[k].path, routes[i].path) == 0)
				write_operation(out, &routes[k]);
		write_close(out, '}');
	}
	write_close(out, '}');
}

static const char shared_parts[] =
	"\"securitySchemes\":{\"ownerToken\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-Owner-Token\"},"
	"\"ownerCookie\":{\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":\"renovationd_owner\"}},"
	"\"parameters\":{"
	"\"limit\":{\"name\":\"limit\",\"in\":\"query\",\"schema\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":100,"
	"\"default\":20}},"
	"\"cursor\":{\"name\":\"cursor\",\"in\":\"query\",\"description\":\"nextCursor of the page "
	"before\",\"schema\":{\"type\":\"string\"}},"
	"\"idempotencyKey\":{\"name\":\"Idempotency-Key\",\"in\":\"header\",\"description\":\"The same key brings the "
	"same answer for 24 "
	"hours\",\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255}},"
	"\"questionKey\":{\"name\":\"Idempotency-Key\",\"in\":\"header\",\"description\":\"Stands in for the id of a "
	"question "
	"that brings none (clientMessageId, or the message's id): the same key in the same conversation is the same "
	"question\",\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":128}},"
	"\"ifMatch\":{\"name\":\"If-Match\",\"in\":\"header\",\"description\":\"Only if the row still has this ETag; "
	"412 "
	"otherwise\",\"schema\":{\"type\":\"string\"}},"
	"\"ifNoneMatch\":{\"name\":\"If-None-Match\",\"in\":\"header\",\"description\":\"304 if the row still has this "
	"ETag\",\"schema\":{\"type\":\"string\"}}},"
	"\"headers\":{\"ETag\":{\"description\":\"The row's version\",\"schema\":{\"type\":\"string\"}},"
	"\"Location\":{\"description\":\"Address of the new row\",\"schema\":{\"type\":\"string\"}},"
	"\"Link\":{\"description\":\"rel=next: address of the next page\",\"schema\":{\"type\":\"string\"}}},"
	"\"responses\":{\"Problem\":{\"description\":\"A problem; its code says "
	"which\",\"content\":{\"application/problem+json\":"
	"{\"schema\":{\"$ref\":\"#/components/schemas/Problem\"}}}}}";

static void write_tags(struct buffer *out)
{
	write_open(out, "tags", '[');
	for (int id = 0; id < RESOURCE_COUNT; id++) {
		bool is_seen = false;

		for (int k = 0; k < id; k++)
			is_seen = is_seen || strcmp(resources[k].name, resources[id].name) == 0;
		if (is_seen)
			continue;
		write_open(out, NULL, '{');
		write_string(out, "name", resources[id].name);
		write_close(out, '}');
	}
	write_raw(out, NULL, "{\"name\":\"chat\"}");
	write_raw(out, NULL, "{\"name\":\"service\"}");
	write_close(out, ']');
}

void openapi_write(const struct route routes[], size_t count, struct buffer *out)
{
	buffer_append_char(out, '{');
	write_string(out, "openapi", "3.1.0");
	write_raw(out, "info",
		"{\"title\":\"" PACKAGE_NAME "\",\"version\":\"" PACKAGE_VERSION
		"\",\"description\":\"A renovation planner: sessions, rooms, tasks, products, contractors, and the "
		"chat that fills "
		"them.\"}");
	write_raw(out, "servers", "[{\"url\":\"/\"}]");
	write_raw(out, "security", "[{\"ownerToken\":[]},{\"ownerCookie\":[]}]");
	write_tags(out);
	write_paths(out, routes, count);
	write_open(out, "components", '{');
	write_separator(out);
	buffer_append_string(out, shared_parts);
	write_open(out, "schemas", '{');
	schemas_write(out);
	write_close(out, '}');
	write_close(out, '}');
	write_close(out, '}');
}

/* The one document of this process: the tables cannot change while it runs. */
static struct {
	struct buffer bytes;
	char etag[33]; /* start of the sha256 in hex */
} document;

static void make_document(const struct openapi_source *source)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	openapi_write(source->routes, *source->count, &document.bytes);
	(void)SHA256((const unsigned char *)buffer_text(&document.bytes).bytes, buffer_length(&document.bytes), digest);
	for (int i = 0; i < 16; i++)
		must(snprintf(document.etag + 2 * i, 3, "%02x", digest[i]) == 2);
}

void openapi_get(struct request *rq)
{
	if (buffer_length(&document.bytes) == 0)
		make_document(rq->route->detail);
	response_header(rq, "ETag", arena_printf(&rq->arena, "\"%s\"", document.etag).bytes);
	response_header(rq, "Cache-Control", "no-cache");
	if (etag_is_known(request_header(rq, "If-None-Match"), text_of(document.etag)))
		response_send(rq, 304, NULL, TEXT(""));
	else
		response_json(rq, 200, buffer_text(&document.bytes));
}
