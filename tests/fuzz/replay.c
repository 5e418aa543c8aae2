/* replay.c: runs a fuzz target over files and folders without libFuzzer, so that kept inputs are tried with every compiler: `x_replay tests/fuzz/corpus/x`.
 * Linked instead of libFuzzer's main; exit status 0 when every input was survived, 2 when none was found. */
#include "config.h"

#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static int inputs;

static int replay_file(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	FILE *file = kind == FTW_F ? fopen(path, "rb") : NULL;
	size_t length = (size_t)status->st_size;

	(void)walk;
	if (file == NULL)
		return 0;

	/* A block of exactly this length, so that the sanitizers see a read behind it. */
	uint8_t *bytes = malloc(length > 0 ? length : 1);

	if (bytes != NULL && fread(bytes, 1, length, file) == length) {
		(void)LLVMFuzzerTestOneInput(bytes, length);
		inputs++;
	}
	free(bytes);
	(void)fclose(file);
	return 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (nftw(argv[i], replay_file, 16, FTW_PHYS) != 0)
			perror(argv[i]);
	printf("%d inputs survived\n", inputs);
	return inputs > 0 ? 0 : 2;
}
