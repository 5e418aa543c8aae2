/* resources.h: THE table of resources: what each shows and takes, and the statements that serve it. A plain resource is rows here and in
 * routes.c plus its SQL; the handlers in resource.h, validation and OpenAPI come from these rows. */
#ifndef RENOVATIOND_WORKER_API_RESOURCES_H
#define RENOVATIOND_WORKER_API_RESOURCES_H

#include "worker/api/fields.h"
#include "worker/db/statements.h"

enum resource_id {
	RESOURCE_ME,
	RESOURCE_SESSIONS,
	RESOURCE_ROOMS,
	RESOURCE_PRODUCTS,
	RESOURCE_CONTRACTORS,
	RESOURCE_TASKS,
	RESOURCE_SESSION_TASKS,
	RESOURCE_TASK_COMPLETION,
	RESOURCE_TASK_REOPENING,
	RESOURCE_CONVERSATIONS,
	RESOURCE_CONVERSATION_MESSAGES,
	RESOURCE_SESSION_MESSAGES,
	RESOURCE_COUNT
};

/* A way to sort a list. The first of a resource is the default. */
struct resource_order {
	const char *name; /* value of ?order=; NULL ends the list */
	enum statement statement;
};

/* A query parameter that narrows a list. */
struct resource_filter {
	const char *param;         /* the statement's parameter; NULL ends the list */
	const struct field *field; /* name in the query, type and values */
};

/* What a violated constraint means to the client. */
struct resource_constraint {
	const char *name;    /* in the database; NULL ends the list */
	enum error error;    /* ERROR_CONFLICT, ERROR_NOT_FOUND or ERROR_VALIDATION_FAILED */
	const char *path;    /* the member at fault; NULL when none is */
	const char *code;    /* of the problem: not_unique invalid */
	const char *message; /* one sentence */
};

struct resource {
	const char *name;           /* plural; tag in OpenAPI */
	const char *title;          /* name of its schema, e.g. "Room"; shared by rows that show the same thing */
	const char *path;           /* address of one row less its id, for Location; NULL when it has none */
	const struct field *fields; /* in the order they are shown */
	bool has_parent;            /* its list and create are below another row */
	const struct resource_order *orders;           /* list */
	const struct resource_filter *filters;         /* list; may be NULL */
	enum statement create, read, update, remove;   /* meant only where a route uses them */
	const struct resource_constraint *constraints; /* may be NULL */
	const char *kept;                              /* why remove may refuse with 409; NULL when it never does */
};

extern const struct resource resources[RESOURCE_COUNT];

#endif
