/* resources.c: THE table of resources and fields. Read by the generic handlers (resource.c, listing.c, creation.c), by validation and by OpenAPI.
 * Holds no behaviour: what a row means is in its statements (sql/queries) and in the handlers that its routes name. */
#include "config.h"
#include "worker/api/resources.h"

#include <stddef.h>

static const char *const phases[] = { "INTAKE", "CHECKLIST", "PLAN", "RENDER", "PAYMENT", "COMPLETE", "ITERATE", NULL };
static const char *const choices[] = { "proposed", "accepted", "rejected", NULL };
static const char *const task_states[] = { "open", "in_progress", "done", "cancelled", NULL };
static const char *const priorities[] = { "low", "normal", "high", "urgent", NULL };
static const char *const creators[] = { "user", "agent", "mcp", NULL };
static const char *const title_sources[] = { "auto", "user", NULL };
static const char *const roles[] = { "user", "assistant", NULL };
static const char *const message_states[] = { "streaming", "complete", "partial", "failed", NULL };
static const char *const owner_kinds[] = { "anonymous", "user", "service", NULL };

#define MONEY_MAX    999999999999
#define POSITION_MAX 1000000
#define NULLABLE     FIELD_NULLABLE
#define READ         FIELD_READ
#define READ_NULL    (FIELD_READ | FIELD_NULLABLE)

/* clang-format off */
#define FIELD_ID       { .name = "id", .type = FIELD_UUID, .flags = READ, .help = "Made by the server" }
#define FIELD_SESSION  { .name = "sessionId", .type = FIELD_UUID, .flags = READ, .help = "The session it belongs to" }
#define FIELD_TURN     { .name = "turnId", .type = FIELD_UUID, .flags = READ_NULL, .help = "The answer in which the agent made it" }
#define FIELD_ROOM     { .name = "roomId", .type = FIELD_UUID, .flags = NULLABLE, .help = "A room of the same owner" }
#define FIELD_STAMPS \
	{ .name = "createdAt", .type = FIELD_DATETIME, .flags = READ, .help = "When it was made" }, \
	{ .name = "updatedAt", .type = FIELD_DATETIME, .flags = READ, .help = "When it last changed" }, \
	{ .name = "version", .type = FIELD_INT, .flags = READ, .min = 1, .max = INT32_MAX, .help = "Grows with each change; the ETag" }
#define FIELD_END      { .name = NULL }

static const struct field me_fields[] = {
	{ .name = "kind", .type = FIELD_ENUM, .flags = READ, .values = owner_kinds, .help = "Who is asking" },
	{ .name = "userId", .type = FIELD_UUID, .flags = READ_NULL, .help = "The account; null for an anonymous owner" },
	{ .name = "expiresAt", .type = FIELD_DATETIME, .flags = READ_NULL, .help = "When the token ends if it is not used before" },
	{ .name = "createdAt", .type = FIELD_DATETIME, .flags = READ, .help = "When it was made" },
	{ .name = "version", .type = FIELD_INT, .flags = READ, .min = 1, .max = INT32_MAX, .help = "Grows with each change; the ETag" },
	FIELD_END
};

static const struct field session_fields[] = {
	FIELD_ID,
	{ .name = "title", .type = FIELD_LINE, .flags = FIELD_REQUIRED, .min = 1, .max = 200, .help = "What the project is called" },
	{ .name = "phase", .type = FIELD_ENUM, .flags = READ, .values = phases, .help = "Where the project stands" },
	{ .name = "totalBudget", .type = FIELD_MONEY, .flags = NULLABLE, .max = MONEY_MAX, .help = "What may be spent, in currency" },
	{ .name = "currency", .type = FIELD_CURRENCY, .help = "ISO 4217 code of all amounts; USD when left out" },
	{ .name = "address", .type = FIELD_OBJECT, .flags = NULLABLE, .max = 8192, .help = "Where the work is done; members are the client's own" },
	{ .name = "summary", .type = FIELD_TEXT, .flags = READ_NULL, .help = "The agent's summary" },
	{ .name = "plan", .type = FIELD_OBJECT, .flags = READ_NULL, .help = "The agent's plan" },
	{ .name = "userId", .type = FIELD_UUID, .flags = READ_NULL, .help = "The account; null for an anonymous owner" },
	{ .name = "conversationId", .type = FIELD_UUID, .flags = READ, .help = "The default conversation" },
	{ .name = "rooms", .type = FIELD_INT, .flags = READ, .max = INT32_MAX, .help = "Number of rooms" },
	{ .name = "tasks", .type = FIELD_INT, .flags = READ, .max = INT32_MAX, .help = "Number of tasks" },
	{ .name = "openTasks", .type = FIELD_INT, .flags = READ, .max = INT32_MAX, .help = "Number of tasks that are open or in progress" },
	FIELD_STAMPS, FIELD_END
};

static const struct field room_fields[] = {
	FIELD_ID, FIELD_SESSION,
	{ .name = "name", .type = FIELD_LINE, .flags = FIELD_REQUIRED, .min = 1, .max = 200, .help = "Unique in its session, whatever the case" },
	{ .name = "kind", .type = FIELD_LINE, .flags = NULLABLE, .min = 1, .max = 50, .help = "kitchen, bathroom, …" },
	{ .name = "position", .type = FIELD_INT, .max = POSITION_MAX, .help = "Place in the list; the end when left out" },
	{ .name = "lengthM", .type = FIELD_MEASURE, .flags = NULLABLE | FIELD_POSITIVE, .max = 99999, .scale = 3, .help = "Metres" },
	{ .name = "widthM", .type = FIELD_MEASURE, .flags = NULLABLE | FIELD_POSITIVE, .max = 99999, .scale = 3, .help = "Metres" },
	{ .name = "heightM", .type = FIELD_MEASURE, .flags = NULLABLE | FIELD_POSITIVE, .max = 99999, .scale = 3, .help = "Metres" },
	{ .name = "areaM2", .type = FIELD_MEASURE, .flags = NULLABLE | FIELD_POSITIVE, .max = 9999999, .scale = 3, .help = "Square metres" },
	{ .name = "budget", .type = FIELD_MONEY, .flags = NULLABLE, .max = MONEY_MAX, .help = "In the session's currency" },
	{ .name = "checklist", .type = FIELD_ARRAY, .flags = NULLABLE, .max = 65536, .help = "The client's own entries" },
	{ .name = "plan", .type = FIELD_OBJECT, .flags = NULLABLE, .max = 262144, .help = "The client's own plan" },
	FIELD_STAMPS, FIELD_END
};

static const struct field product_fields[] = {
	FIELD_ID, FIELD_SESSION, FIELD_ROOM, FIELD_TURN,
	{ .name = "name", .type = FIELD_LINE, .flags = FIELD_REQUIRED, .min = 1, .max = 300, .help = "What it is" },
	{ .name = "category", .type = FIELD_LINE, .flags = NULLABLE, .min = 1, .max = 100, .help = "flooring, lighting, …" },
	{ .name = "vendor", .type = FIELD_LINE, .flags = NULLABLE, .min = 1, .max = 200, .help = "Who sells it" },
	{ .name = "url", .type = FIELD_URL, .flags = NULLABLE, .max = 2048, .help = "Where it is offered" },
	{ .name = "price", .type = FIELD_MONEY, .flags = NULLABLE, .max = MONEY_MAX, .help = "Of one piece, in currency" },
	{ .name = "currency", .type = FIELD_CURRENCY, .help = "ISO 4217 code; the session's when left out" },
	{ .name = "quantity", .type = FIELD_MEASURE, .flags = FIELD_POSITIVE, .max = 999999999, .scale = 3, .help = "How many; 1 when left out" },
	{ .name = "rationale", .type = FIELD_TEXT, .flags = NULLABLE, .max = 4000, .help = "Why it fits" },
	{ .name = "status", .type = FIELD_ENUM, .values = choices, .help = "The owner's decision" },
	{ .name = "priceSeenAt", .type = FIELD_DATETIME, .flags = NULLABLE, .help = "When the price was true" },
	FIELD_STAMPS, FIELD_END
};

static const struct field contractor_fields[] = {
	FIELD_ID, FIELD_SESSION, FIELD_ROOM, FIELD_TURN,
	{ .name = "name", .type = FIELD_LINE, .flags = FIELD_REQUIRED, .min = 1, .max = 300, .help = "The firm" },
	{ .name = "trade", .type = FIELD_LINE, .flags = NULLABLE, .min = 1, .max = 100, .help = "plumbing, carpentry, …" },
	{ .name = "contact", .type = FIELD_OBJECT, .flags = NULLABLE, .max = 8192, .help = "How to reach it; members are the client's own" },
	{ .name = "rating", .type = FIELD_MEASURE, .flags = NULLABLE, .max = 5, .scale = 1, .help = "0 to 5" },
	{ .name = "quoteMin", .type = FIELD_MONEY, .flags = NULLABLE, .max = MONEY_MAX, .help = "Lowest price named" },
	{ .name = "quoteMax", .type = FIELD_MONEY, .flags = NULLABLE, .max = MONEY_MAX, .help = "Highest price named, not below quoteMin" },
	{ .name = "currency", .type = FIELD_CURRENCY, .help = "ISO 4217 code; the session's when left out" },
	{ .name = "url", .type = FIELD_URL, .flags = NULLABLE, .max = 2048, .help = "Its page" },
	{ .name = "rationale", .type = FIELD_TEXT, .flags = NULLABLE, .max = 4000, .help = "Why it fits" },
	{ .name = "status", .type = FIELD_ENUM, .values = choices, .help = "The owner's decision" },
	FIELD_STAMPS, FIELD_END
};

static const struct field task_fields[] = {
	FIELD_ID,
	{ .name = "sessionId", .type = FIELD_UUID, .flags = NULLABLE, .help = "A session of the same owner" },
	FIELD_ROOM,
	{ .name = "title", .type = FIELD_LINE, .flags = FIELD_REQUIRED, .min = 1, .max = 200, .help = "What is to be done" },
	{ .name = "description", .type = FIELD_TEXT, .flags = NULLABLE, .max = 10000, .help = "More about it" },
	{ .name = "status", .type = FIELD_ENUM, .values = task_states, .help = "open when left out" },
	{ .name = "completed", .type = FIELD_BOOL, .flags = READ, .help = "Is status done?" },
	{ .name = "priority", .type = FIELD_ENUM, .values = priorities, .help = "normal when left out" },
	{ .name = "dueAt", .type = FIELD_DATETIME, .flags = NULLABLE, .help = "When it should be done" },
	{ .name = "position", .type = FIELD_INT, .max = POSITION_MAX, .help = "Place in the list; the end when left out" },
	{ .name = "createdBy", .type = FIELD_ENUM, .flags = READ, .values = creators, .help = "Who made it" },
	FIELD_TURN,
	{ .name = "completedAt", .type = FIELD_DATETIME, .flags = READ_NULL, .help = "When it was done" },
	FIELD_STAMPS, FIELD_END
};

static const struct field conversation_fields[] = {
	FIELD_ID,
	{ .name = "sessionId", .type = FIELD_UUID, .flags = NULLABLE | FIELD_CREATE_ONLY, .help = "A session of the same owner; null for a free one" },
	{ .name = "title", .type = FIELD_LINE, .max = 200, .help = "Empty until it is named" },
	{ .name = "titleSource", .type = FIELD_ENUM, .flags = READ, .values = title_sources, .help = "Who named it" },
	{ .name = "isDefault", .type = FIELD_BOOL, .flags = READ, .help = "Is it its session's own conversation?" },
	{ .name = "activeTurnId", .type = FIELD_UUID, .flags = READ_NULL, .help = "The answer that is being written" },
	{ .name = "lastSeq", .type = FIELD_INT, .flags = READ, .max = INT64_MAX, .help = "seq of the newest message" },
	FIELD_STAMPS, FIELD_END
};

static const struct field message_fields[] = {
	FIELD_ID,
	{ .name = "conversationId", .type = FIELD_UUID, .flags = READ, .help = "Where it was said" },
	{ .name = "sessionId", .type = FIELD_UUID, .flags = READ_NULL, .help = "The conversation's session" },
	{ .name = "seq", .type = FIELD_INT, .flags = READ, .min = 1, .max = INT64_MAX, .help = "Order in the conversation" },
	{ .name = "parentId", .type = FIELD_UUID, .flags = READ_NULL, .help = "What it answers or follows" },
	{ .name = "role", .type = FIELD_ENUM, .flags = READ, .values = roles, .help = "Who said it" },
	{ .name = "status", .type = FIELD_ENUM, .flags = READ, .values = message_states, .help = "Is it whole?" },
	{ .name = "content", .type = FIELD_TEXT, .flags = READ, .help = "The text as it was streamed" },
	{ .name = "parts", .type = FIELD_ARRAY, .flags = READ, .help = "UI-message parts" },
	{ .name = "attachments", .type = FIELD_ARRAY, .flags = READ, .help = "Files" },
	{ .name = "turnId", .type = FIELD_UUID, .flags = READ_NULL, .help = "The answer it belongs to" },
	{ .name = "model", .type = FIELD_LINE, .flags = READ_NULL, .help = "Who wrote it" },
	{ .name = "usage", .type = FIELD_OBJECT, .flags = READ_NULL, .help = "inputTokens and outputTokens" },
	{ .name = "clientMessageId", .type = FIELD_LINE, .flags = READ_NULL, .help = "The client's own id" },
	{ .name = "createdAt", .type = FIELD_DATETIME, .flags = READ, .help = "When it was made" },
	FIELD_END
};

static const struct field nothing[] = { FIELD_END };

static const struct field status_filter = { .name = "status", .type = FIELD_ENUM, .values = task_states, .help = "Only those in this state" };
static const struct field choice_filter = { .name = "status", .type = FIELD_ENUM, .values = choices, .help = "Only those so decided" };
static const struct field room_filter = { .name = "roomId", .type = FIELD_UUID, .help = "Only those of this room" };
static const struct field session_filter = { .name = "sessionId", .type = FIELD_UUID, .help = "Only those of this session" };

static const struct resource_filter task_filters[] = {
	{ "status", &status_filter }, { "session_id", &session_filter }, { "room_id", &room_filter }, { NULL, NULL } };
static const struct resource_filter session_task_filters[] = { { "status", &status_filter }, { "room_id", &room_filter }, { NULL, NULL } };
static const struct resource_filter choice_filters[] = { { "status", &choice_filter }, { "room_id", &room_filter }, { NULL, NULL } };
static const struct resource_filter conversation_filters[] = { { "session_id", &session_filter }, { NULL, NULL } };

#define ORDERS(name, ...) static const struct resource_order name[] = { __VA_ARGS__, { NULL, SQL_COUNT } }
ORDERS(session_orders, { "updatedAt", SQL_sessions_list });
ORDERS(room_orders, { "position", SQL_rooms_list });
ORDERS(product_orders, { "newest", SQL_products_list });
ORDERS(contractor_orders, { "newest", SQL_contractors_list });
ORDERS(task_orders, { "position", SQL_tasks_list }, { "dueAt", SQL_tasks_list_due });
ORDERS(session_task_orders, { "position", SQL_session_tasks_list });
ORDERS(conversation_orders, { "updatedAt", SQL_conversations_list });
ORDERS(conversation_message_orders, { "desc", SQL_conversation_messages_list }, { "asc", SQL_conversation_messages_list_asc });
ORDERS(session_message_orders, { "desc", SQL_session_messages_list }, { "asc", SQL_session_messages_list_asc });

#define NO_PARENT(constraint) { constraint, ERROR_NOT_FOUND, NULL, NULL, NULL }
#define NO_ROOM(constraint) { constraint, ERROR_VALIDATION_FAILED, "roomId", "invalid", "roomId names no room of yours" }
#define NO_SESSION(constraint) { constraint, ERROR_VALIDATION_FAILED, "sessionId", "invalid", "sessionId names no session of yours" }
#define NO_CONSTRAINT { NULL, ERROR_NONE, NULL, NULL, NULL }

static const struct resource_constraint room_constraints[] = {
	{ "renovation_rooms_name", ERROR_CONFLICT, "name", "not_unique", "name is already used by another room of the session" },
	NO_PARENT("renovation_rooms_session"), NO_CONSTRAINT };
static const struct resource_constraint product_constraints[] = {
	NO_ROOM("product_recommendations_room"), NO_PARENT("product_recommendations_session"), NO_CONSTRAINT };
static const struct resource_constraint contractor_constraints[] = {
	{ "contractor_recommendations_quote", ERROR_VALIDATION_FAILED, "quoteMax", "out_of_range", "quoteMax must not be below quoteMin" },
	NO_ROOM("contractor_recommendations_room"), NO_PARENT("contractor_recommendations_session"), NO_CONSTRAINT };
static const struct resource_constraint task_constraints[] = { NO_ROOM("tasks_room"), NO_SESSION("tasks_session"), NO_CONSTRAINT };
static const struct resource_constraint conversation_constraints[] = { NO_SESSION("conversations_session"), NO_CONSTRAINT };

const struct resource resources[RESOURCE_COUNT] = {
	[RESOURCE_ME] = { .name = "me", .title = "Me", .fields = me_fields, .read = SQL_owners_read, .remove = SQL_owners_remove },
	[RESOURCE_SESSIONS] = { .name = "sessions", .title = "Session", .path = "/api/sessions/", .fields = session_fields, .orders = session_orders,
		.create = SQL_sessions_create, .read = SQL_sessions_read, .update = SQL_sessions_update, .remove = SQL_sessions_remove },
	[RESOURCE_ROOMS] = { .name = "rooms", .title = "Room", .path = "/api/rooms/", .fields = room_fields, .has_parent = true, .orders = room_orders,
		.create = SQL_rooms_create, .read = SQL_rooms_read, .update = SQL_rooms_update, .remove = SQL_rooms_remove,
		.constraints = room_constraints },
	[RESOURCE_PRODUCTS] = { .name = "products", .title = "Product", .path = "/api/products/", .fields = product_fields, .has_parent = true,
		.orders = product_orders, .filters = choice_filters,
		.create = SQL_products_create, .read = SQL_products_read, .update = SQL_products_update, .remove = SQL_products_remove,
		.constraints = product_constraints },
	[RESOURCE_CONTRACTORS] = { .name = "contractors", .title = "Contractor", .path = "/api/contractors/", .fields = contractor_fields,
		.has_parent = true, .orders = contractor_orders, .filters = choice_filters,
		.create = SQL_contractors_create, .read = SQL_contractors_read, .update = SQL_contractors_update, .remove = SQL_contractors_remove,
		.constraints = contractor_constraints },
	[RESOURCE_TASKS] = { .name = "tasks", .title = "Task", .path = "/api/tasks/", .fields = task_fields, .orders = task_orders,
		.filters = task_filters,
		.create = SQL_tasks_create, .read = SQL_tasks_read, .update = SQL_tasks_update, .remove = SQL_tasks_remove,
		.constraints = task_constraints },
	[RESOURCE_SESSION_TASKS] = { .name = "tasks", .title = "Task", .path = "/api/tasks/", .fields = task_fields, .has_parent = true,
		.orders = session_task_orders, .filters = session_task_filters },
	[RESOURCE_TASK_COMPLETION] = { .name = "tasks", .title = "Task", .path = "/api/tasks/", .fields = nothing, .update = SQL_tasks_complete },
	[RESOURCE_TASK_REOPENING] = { .name = "tasks", .title = "Task", .path = "/api/tasks/", .fields = nothing, .update = SQL_tasks_reopen },
	[RESOURCE_CONVERSATIONS] = { .name = "conversations", .title = "Conversation", .path = "/api/conversations/", .fields = conversation_fields,
		.orders = conversation_orders, .filters = conversation_filters,
		.create = SQL_conversations_create, .read = SQL_conversations_read, .update = SQL_conversations_update,
		.remove = SQL_conversations_remove, .constraints = conversation_constraints,
		.kept = "a session's own conversation goes only with its session" },
	[RESOURCE_CONVERSATION_MESSAGES] = { .name = "messages", .title = "Message", .fields = message_fields, .has_parent = true,
		.orders = conversation_message_orders },
	[RESOURCE_SESSION_MESSAGES] = { .name = "messages", .title = "Message", .fields = message_fields, .has_parent = true,
		.orders = session_message_orders },
};
/* clang-format on */
