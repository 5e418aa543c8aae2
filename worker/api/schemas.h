/* schemas.h: JSON Schemas (2020-12, as OpenAPI 3.1 takes them) from field tables. Pure. */
#ifndef RENOVATIOND_WORKER_API_SCHEMAS_H
#define RENOVATIOND_WORKER_API_SCHEMAS_H

#include "shared/buffer.h"
#include "worker/api/resources.h"

/* What a schema is for: a row as it is shown, the body of a create, the body of an update. */
enum schema_kind { SCHEMA_SHOWN, SCHEMA_CREATE, SCHEMA_UPDATE };

/* One field's schema as an object. */
void schema_write_field(struct buffer *out, const char *name, const struct field *field, enum schema_kind kind);
/* The members of components.schemas: each resource's row, page, create and update, and the problem. */
void schemas_write(struct buffer *out);

#endif
