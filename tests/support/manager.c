/* manager.c: the service manager's end of the notify socket, as far as the tests need it: FDSTORE, FDSTOREREMOVE, FDNAME, and all words kept. */
#include "config.h"
#include "tests/support/manager.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shared/must.h"
#include "tests/support/process.h"

#define MESSAGE_BYTES 4096

void manager_open(struct manager *m, bool is_abstract)
{
	static int number;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length;

	memset(m, 0, sizeof *m);
	m->said = must_strdup("");
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_geq(m->fd, 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s%s/notify-%d", is_abstract ? "@" : "",
		is_abstract ? test_folder() + 1 : test_folder(), ++number);
	(void)snprintf(m->variable, sizeof m->variable, "NOTIFY_SOCKET=%s", address.sun_path);
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address.sun_path));
	if (is_abstract)
		address.sun_path[0] = '\0';
	cr_assert_eq(bind(m->fd, (struct sockaddr *)&address, length), 0);
	if (!is_abstract)
		cr_assert_eq(chmod(address.sun_path, 0777), 0);
}

static void forget(struct manager *m, int at)
{
	close(m->stored[at].fd);
	m->stored[at] = m->stored[--m->stored_count];
}

/* The same socket is kept once, as systemd does. */
static void keep(struct manager *m, const char *name, int fd)
{
	struct stat first, second;

	for (int i = 0; i < m->stored_count; i++)
		if (fstat(m->stored[i].fd, &first) == 0 && fstat(fd, &second) == 0 && first.st_ino == second.st_ino) {
			close(fd);
			return;
		}
	cr_assert_lt(m->stored_count, MANAGER_STORED_MAX);
	m->stored[m->stored_count].fd = fd;
	(void)snprintf(m->stored[m->stored_count++].name, sizeof m->stored[0].name, "%s", name);
}

static void hear(struct manager *m, const char *message, int fd)
{
	char name[64] = "";
	const char *at = strstr(message, "FDNAME=");
	size_t length = strlen(message);

	if (at != NULL)
		(void)snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 7, "\n"), at + 7);
	if (strstr(message, "FDSTORE=1") != NULL && fd >= 0)
		keep(m, name, fd);
	else if (fd >= 0)
		close(fd);
	for (int i = m->stored_count - 1; i >= 0 && strstr(message, "FDSTOREREMOVE=1") != NULL; i--)
		if (strcmp(m->stored[i].name, name) == 0)
			forget(m, i);
	m->said = must_realloc(m->said, m->length + length + 2);
	memcpy(m->said + m->length, message, length);
	memcpy(m->said + m->length + length, "\n", 2);
	m->length += length + 1;
}

static bool read_one(struct manager *m)
{
	char message[MESSAGE_BYTES], control[CMSG_SPACE(sizeof(int))];
	struct iovec part = { .iov_base = message, .iov_len = sizeof message - 1 };
	struct msghdr head = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
	};
	ssize_t length = recvmsg(m->fd, &head, MSG_CMSG_CLOEXEC);
	int fd = -1;

	if (length < 0) {
		cr_assert(errno == EAGAIN || errno == EINTR, "%s", strerror(errno));
		return false;
	}
	message[length] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&head); c != NULL; c = CMSG_NXTHDR(&head, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof fd);
	hear(m, message, fd);
	return true;
}

void manager_read(struct manager *m)
{
	while (read_one(m))
		;
}

struct awaited {
	struct manager *manager;
	const char *words;
	size_t from;
	const char *found;
};

static bool is_said(void *arg)
{
	struct awaited *a = arg;

	manager_read(a->manager);
	a->found = strstr(a->manager->said + a->from, a->words);
	return a->found != NULL;
}

size_t manager_wait(struct manager *m, const char *words, size_t from, int timeout_ms)
{
	struct awaited a = { .manager = m, .words = words, .from = from };

	wait_until(is_said, &a, words, timeout_ms);
	return (size_t)(a.found - m->said) + strlen(words);
}

void manager_forget(struct manager *m)
{
	while (m->stored_count > 0)
		forget(m, 0);
}

void manager_close(struct manager *m)
{
	manager_forget(m);
	free(m->said);
	close(m->fd);
}
