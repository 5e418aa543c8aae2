/* The request messages of the Gemini API as tables: which JSON names exist where, and what each may hold. */
#ifndef GEMINI_SIM_MESSAGES_H
#define GEMINI_SIM_MESSAGES_H

#include <stdbool.h>

enum field_kind {
	FIELD_TEXT,
	FIELD_BYTES,
	FIELD_NUMBER,
	FIELD_INT32,
	FIELD_INT64,
	FIELD_BOOL,
	FIELD_ENUM,
	FIELD_MESSAGE,
	FIELD_STRUCT, /* google.protobuf.Struct: any object */
	FIELD_VALUE,  /* google.protobuf.Value: anything */
	FIELD_MAP,    /* object whose members are all `message` */
};

struct enumeration {
	const char *name;          /* for error messages */
	const char *const *values; /* ends with NULL */
};

struct field {
	const char *name;                 /* camelCase; the snake_case spelling follows from it */
	enum field_kind kind;             /* what a value must be */
	bool repeated;                    /* a list; a lone value is read as a list of one */
	int oneof;                        /* fields with the same number > 0 exclude each other */
	const struct message *message;    /* for FIELD_MESSAGE and FIELD_MAP */
	const struct enumeration *values; /* for FIELD_ENUM */
};

struct message {
	const char *name;           /* short protobuf name */
	const struct field *fields; /* ends with a NULL name */
};

extern const struct message message_generate_content;     /* GenerateContentRequest */
extern const struct message message_count_tokens;         /* CountTokensRequest */
extern const struct message message_embed_content;        /* EmbedContentRequest */
extern const struct message message_batch_embed_contents; /* BatchEmbedContentsRequest */

#endif
