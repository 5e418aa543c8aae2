/* Makes JSON values that satisfy a schema, in either spelling (OpenAPI subset or JSON Schema). */
#ifndef GEMINI_SIM_SCHEMA_H
#define GEMINI_SIM_SCHEMA_H

#include "tests/gemini-sim/json.h"

/* A value that satisfies `schema`; strings are taken from `subject` (may be "") where nothing better is known.
 * The same arguments give the same value. A new object. */
json_object *schema_make(const json_object *schema, const char *subject, uint64_t seed);

/* Makes `wanted` (taken over; an object) fit an object schema: undeclared members go, kinds and enums are adapted, missing
 * required members are made up. With `schema` NULL the result is an empty object. */
json_object *schema_fit(const json_object *schema, json_object *wanted, const char *subject);

/* Whether an object schema declares this property. */
bool schema_declares(const json_object *schema, const char *property);

#endif
