/* config_fuzz.c: arbitrary bytes as renovationd.conf: no crash, no leak, and a value that was taken is one that fits. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "shared/configuration.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What was taken must survive the way to a worker. */
static void check_options(const struct options *before)
{
	struct buffer value;

	buffer_init(&value);
	for (enum option_id id = 0; id < OPTION_COUNT; id++) {
		struct options copy;
		const char *expected;

		buffer_clear(&value);
		options_write_value(before, id, &value);
		options_init(&copy);
		must(options_set(&copy, id, buffer_text(&value), &expected));
		options_fini(&copy);
	}
	buffer_fini(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct configuration c;
	struct buffer json;
	char *text = must_strndup((const char *)bytes, length);

	/* An include would read files of the machine that fuzzes. */
	if (strstr(text, "@include") == NULL) {
		configuration_init(&c);
		configuration_read_text(&c, text, "fuzz.conf");
		configuration_check(&c, CONFIGURATION_FOR_SERVICE);
		buffer_init(&json);
		configuration_write_faults_json(&c, &json);
		check_options(&c.options);
		buffer_fini(&json);
		configuration_fini(&c);
	}
	free(text);
	return 0;
}
