/* routes.c: THE table of endpoints: method, path, who may ask, what body, who answers. The HTTP server compiles it once at start; OpenAPI and
 * `renovationd-worker --print-routes` are made from it. A resource's rows name the generic handlers and its row of the resource table. */
#include "config.h"
#include "worker/routes.h"

#include "worker/api/admin.h"
#include "worker/api/assets.h"
#include "worker/api/health.h"
#include "worker/api/metrics.h"
#include "worker/api/openapi.h"
#include "worker/api/problems.h"
#include "worker/api/resource.h"
#include "worker/api/resources.h"
#include "worker/auth.h"
#include "worker/chat/chat.h"

/* clang-format off */
#define QUIET .is_quiet = true
#define OF_CONVERSATION .names_conversation = true
#define OF(id) .detail = &resources[RESOURCE_##id]

#define LIST(address, id, text, ...)   { METHOD_GET, address, AUTH_OWNER, BODY_NONE, resource_list, text, OF(id), __VA_ARGS__ }
#define CREATE(address, id, text) { METHOD_POST, address, AUTH_OWNER, BODY_JSON, resource_create, text, OF(id) }
#define MINT(address, id, text)   { METHOD_POST, address, AUTH_MINT, BODY_JSON, resource_create, text, OF(id) }
#define READ(address, id, text, ...)   { METHOD_GET, address, AUTH_OWNER, BODY_NONE, resource_read, text, OF(id), __VA_ARGS__ }
#define UPDATE(address, id, text, ...) { METHOD_PATCH, address, AUTH_OWNER, BODY_JSON, resource_update, text, OF(id), __VA_ARGS__ }
#define ACT(address, id, text)    { METHOD_POST, address, AUTH_OWNER, BODY_OPTIONAL, resource_update, text, OF(id) }
#define REMOVE(address, id, text, ...) { METHOD_DELETE, address, AUTH_OWNER, BODY_NONE, resource_remove, text, OF(id), __VA_ARGS__ }
#define OPEN(address, handler, text) { METHOD_GET, address, AUTH_NONE, BODY_NONE, handler, .summary = text }
#define PROBE(address, handler, text) { METHOD_GET, address, AUTH_NONE, BODY_NONE, handler, text, QUIET, .is_probe = true }
#define BOTH(address, handler, text, ...) { METHOD_GET, address, AUTH_NONE, BODY_NONE, handler, text, .is_on_admin = true, __VA_ARGS__ }
#define ADMIN(address, handler, text, ...) { METHOD_GET, address, AUTH_ADMIN, BODY_NONE, handler, .summary = text, __VA_ARGS__ }

#define DESCRIBE(address) \
	{ .method = METHOD_GET, .path = address, .auth = AUTH_NONE, .handle = openapi_get, .summary = "This description", .detail = &described }

static const struct openapi_source described = { worker_routes, &worker_route_count };

const struct route worker_routes[] = {
	BOTH("/", assets_home, "The page for browsers, a banner for programs"),
	OPEN("/assets/{name}", assets_get, "A file of the page"),
	PROBE("/health", health_get, "Does the process run?"),
	PROBE("/api/health", health_get, "Does the process run?"),
	PROBE("/health/live", health_live, "Is the loop alive?"),
	PROBE("/livez", health_live, "Is the loop alive?"),
	PROBE("/health/ready", health_ready, "Can requests be served? 503 with the checks when not"),
	PROBE("/readyz", health_ready, "Can requests be served? 503 with the checks when not"),
	BOTH("/health/status", health_status, "Uptime, memory, pool, workers and features", QUIET),
	ADMIN("/metrics", metrics_get, "The pool's numbers for Prometheus, as text or OpenMetrics", QUIET),
	ADMIN("/admin", admin_page, "The operations page"),
	ADMIN("/admin/assets/{name}", admin_asset, "A file of the operations page"),
	ADMIN("/admin/status.json", admin_status, "State of the pool, as renovationctl status --json has it", QUIET),
	OPEN("/problems/{code}", problems_get, "What an error code means and what to do"),
	DESCRIBE("/openapi.json"),
	DESCRIBE("/api-docs.json"),

	{ .method = METHOD_POST, .path = "/api/anonymous", .auth = AUTH_NONE, .body = BODY_OPTIONAL, .handle = auth_anonymous,
		.summary = "A new anonymous owner and its token" },
	READ("/api/me", ME, "Who is asking"),
	REMOVE("/api/me", ME, "Erase the owner and everything it has"),

	LIST("/api/sessions", SESSIONS, "Renovation sessions, last changed first"),
	MINT("/api/sessions", SESSIONS, "A new session with its conversation; mints an owner when there are no credentials"),
	READ("/api/sessions/{id}", SESSIONS, "One session"),
	UPDATE("/api/sessions/{id}", SESSIONS, "Change a session"),
	REMOVE("/api/sessions/{id}", SESSIONS, "Remove a session with rooms, products, contractors and conversations"),

	LIST("/api/sessions/{id}/rooms", ROOMS, "Rooms of a session by position"),
	CREATE("/api/sessions/{id}/rooms", ROOMS, "A new room"),
	READ("/api/rooms/{id}", ROOMS, "One room"),
	UPDATE("/api/rooms/{id}", ROOMS, "Change a room"),
	REMOVE("/api/rooms/{id}", ROOMS, "Remove a room"),

	LIST("/api/sessions/{id}/products", PRODUCTS, "Products recommended for a session, newest first"),
	CREATE("/api/sessions/{id}/products", PRODUCTS, "A new product"),
	READ("/api/products/{id}", PRODUCTS, "One product"),
	UPDATE("/api/products/{id}", PRODUCTS, "Change, accept or reject a product"),
	REMOVE("/api/products/{id}", PRODUCTS, "Remove a product"),

	LIST("/api/sessions/{id}/contractors", CONTRACTORS, "Contractors recommended for a session, newest first"),
	CREATE("/api/sessions/{id}/contractors", CONTRACTORS, "A new contractor"),
	READ("/api/contractors/{id}", CONTRACTORS, "One contractor"),
	UPDATE("/api/contractors/{id}", CONTRACTORS, "Change, accept or reject a contractor"),
	REMOVE("/api/contractors/{id}", CONTRACTORS, "Remove a contractor"),

	LIST("/api/tasks", TASKS, "All tasks of the owner by position, or by due time"),
	MINT("/api/tasks", TASKS, "A new task; mints an owner when there are no credentials"),
	LIST("/api/sessions/{id}/tasks", SESSION_TASKS, "Tasks of a session by position"),
	READ("/api/tasks/{id}", TASKS, "One task"),
	UPDATE("/api/tasks/{id}", TASKS, "Change a task"),
	REMOVE("/api/tasks/{id}", TASKS, "Remove a task"),
	ACT("/api/tasks/{id}/complete", TASK_COMPLETION, "Mark a task as done"),
	ACT("/api/tasks/{id}/reopen", TASK_REOPENING, "Open a task that was done or cancelled"),

	LIST("/api/conversations", CONVERSATIONS, "Conversations, last changed first"),
	MINT("/api/conversations", CONVERSATIONS, "A new conversation; mints an owner when there are no credentials"),
	READ("/api/conversations/{id}", CONVERSATIONS, "One conversation", OF_CONVERSATION),
	UPDATE("/api/conversations/{id}", CONVERSATIONS, "Rename a conversation", OF_CONVERSATION),
	REMOVE("/api/conversations/{id}", CONVERSATIONS, "Remove a conversation with its messages", OF_CONVERSATION),
	LIST("/api/conversations/{id}/messages", CONVERSATION_MESSAGES, "Messages of a conversation, newest first", OF_CONVERSATION),
	LIST("/api/sessions/{id}/messages", SESSION_MESSAGES, "Messages of a session's conversation, newest first"),

	{ METHOD_POST, "/api/conversations/{id}/messages", AUTH_OWNER, BODY_JSON, chat_ask_conversation,
		OF_CONVERSATION, .summary = "Ask: 202 with message and turn, or the answer as a stream when Accept is text/event-stream" },
	{ METHOD_POST, "/api/sessions/{id}/messages", AUTH_OWNER, BODY_JSON, chat_ask_session,
		.summary = "Ask in the session's own conversation" },
	{ METHOD_GET, "/api/turns/{id}", AUTH_OWNER, BODY_NONE, chat_turn_read, .summary = "Status of an answer" },
	{ METHOD_GET, "/api/turns/{id}/stream", AUTH_OWNER, BODY_NONE, chat_turn_stream,
		.summary = "The events of an answer, from the start or after Last-Event-ID" },
	{ METHOD_POST, "/api/turns/{id}/cancel", AUTH_OWNER, BODY_OPTIONAL, chat_turn_cancel, .summary = "Stop an answer; its text so far stays" },
	{ METHOD_POST, "/api/chat", AUTH_MINT, BODY_JSON, chat_facade_ask, .summary = "Ask as the AI SDK's chat transport does; the answer is the stream",
		.admit = chat_admits },
	{ METHOD_GET, "/api/chat/{chat}/stream", AUTH_OWNER, BODY_NONE, chat_facade_stream, .summary = "The running answer of a chat, 204 when there is none" },
	{ METHOD_POST, "/api/chat/{chat}/stop", AUTH_OWNER, BODY_OPTIONAL, chat_facade_stop, .summary = "Stop the running answer of a chat" },
};
/* clang-format on */

const size_t worker_route_count = COUNT_OF(worker_routes);
