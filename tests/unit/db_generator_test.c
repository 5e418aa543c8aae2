/* db_generator_test.c: the generator of the statement table: good files give a table that compiles, and every mistake is named with file and line. */
#include "config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>

#include "shared/must.h"
#include "tests/support/process.h"

TestSuite(db_generator, .timeout = 60);

/* Runs it on one file of queries; what it said is in *said (free it). */
static int generate(const char *queries, char **said)
{
	static int number;
	char folder[300], path[340], target[340];
	snprintf(folder, sizeof folder, "%s/queries%d", test_folder(), ++number);
	must(mkdir(folder, 0755) == 0);
	snprintf(path, sizeof path, "%s/a.sql", folder);
	snprintf(target, sizeof target, "%s/statements", folder);
	FILE *file = fopen(path, "w");
	must(file != NULL && fputs(queries, file) >= 0 && fclose(file) == 0);
	return process_run((const char *[]) { "perl", GENERATOR, folder, target, NULL }, NULL, NULL, said, 20000);
}

#define HEAD "-- statement: one\n-- kind: read\n"

static const struct {
	const char *queries, *expected; /* part of what it says */
} mistakes[] = {
	{ "SELECT 1;\n", "a.sql:1: error: text before the first" },
	{ "-- statement: One\n-- kind: read\nSELECT 1;\n", "a.sql:1: error: 'One' is no name" },
	{ HEAD "SELECT 1;\n" HEAD "SELECT 1;\n", "a.sql:4: error: statement one is already defined at" },
	{ "-- statement: one\nSELECT 1;\n", "a.sql:1: error: statement one has no '-- kind:" },
	{ "-- statement: one\n-- kind: reed\nSELECT 1;\n", "a.sql:2: error: kind is read or write, not 'reed'" },
	{ HEAD "SELECT 1\n", "a.sql:1: error: statement one does not end with ';'" },
	{ HEAD "SELECT 1; SELECT 2;\n", "more than one statement" },
	{ HEAD ";\n", "is empty" },
	{ HEAD "UPDATE rooms SET a = 1;\n", "is of kind read but changes or locks rows" },
	{ HEAD "SELECT 1 FROM rooms FOR UPDATE;\n", "is of kind read but changes or locks rows" },
	{ HEAD "-- params: owner uid\nSELECT $1;\n", "a.sql:3: error: type 'uid' is not known" },
	{ HEAD "-- params: owner\nSELECT $1;\n", "a.sql:3: error: 'owner' is not 'name type'" },
	{ HEAD "-- params: owner uuid, id uuid\nSELECT $1;\n", "parameter $2 (id) of one is not used" },
	{ HEAD "-- params: owner uuid\nSELECT $1, $2;\n", "$2 in one has no entry" },
	{ HEAD "-- result: body bytea, at timestamptz\nSELECT 1;\n", "beside bytea only" },
	{ HEAD "SELECT {{nothing}};\n", "fragment nothing is not known" },
	{ "-- fragment: of\n{{1}}, {{2}}\n" HEAD "SELECT {{of: a}};\n", "fragment of takes 2 arguments, not 1" },
	{ "-- fragment: of\n1\n" HEAD "SELECT {{of: a}};\n", "fragment of takes 0 arguments, not 1" },
	{ "-- kind: read\n", "a.sql:1: error: 'kind:' does not belong here" },
};

Test(db_generator, every_mistake_is_named_with_its_place)
{
	for (size_t i = 0; i < COUNT_OF(mistakes); i++) {
		char *said = NULL;
		cr_expect_eq(generate(mistakes[i].queries, &said), 1, "%s", mistakes[i].queries);
		cr_expect_not_null(
			strstr(said, mistakes[i].expected), "expected '%s', got: %s", mistakes[i].expected, said);
		free(said);
	}
}

static const char *const good[] = {
	"",
	"-- only a comment\n",
	HEAD "-- result: a text\n-- why it is so\nSELECT 'it''s; $2 \"q\" \\' AS a -- $3;\n\tFROM x;\n",
	HEAD "-- params: owner uuid,\n-- params: id uuid\nSELECT $1, $2 FROM updated, update_log;\n",
	"-- fragment: row\na, b\n-- fragment: of\n{{{{2}}}} FROM {{1}}\n" HEAD "SELECT {{of: t, row}};\n",
};

Test(db_generator, what_it_makes_compiles)
{
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		char *said = NULL, command[900];
		cr_expect_eq(generate(good[i], &said), 0, "%s: %s", good[i], said);
		free(said);
		snprintf(command, sizeof command,
			"cd '%s' && mkdir -p worker/db && newest=$(ls -td queries*/ | head -1) && cp "
			"$newest/statements.h worker/db/ && "
			": > config.h && cc -std=gnu17 -Wall -Werror -I. -c $newest/statements.c -o x.o 2>&1",
			test_folder());
		cr_expect_eq(process_run((const char *[]) { "sh", "-c", command, NULL }, NULL, &said, NULL, 20000), 0,
			"%s", said);
		free(said);
	}
}
