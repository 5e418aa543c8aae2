/* shared_ipc_test.c: messages between processes: what arrives is what was sent, and nothing malformed harms the receiver. */
#include "config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/ipc.h"

static int pair[2];

static void open_pair(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(void)
{
	close(pair[0]);
	close(pair[1]);
}

TestSuite(ipc, .init = open_pair, .fini = close_pair);

Test(ipc, a_message_arrives_as_it_was_sent)
{
	struct message sent = { .type = MESSAGE_WORKER_CLOSED,
		.closed = { .name = "http", .result = 1, .ms = 12, .forced = 3, .lost = 4, .detail = "why" } };
	struct message got;

	cr_assert_eq(ipc_send(pair[0], &sent), ERROR_NONE);
	cr_assert_eq(ipc_receive(pair[1], &got), ERROR_NONE);
	cr_expect_eq(got.type, MESSAGE_WORKER_CLOSED);
	cr_expect_str_eq(got.closed.name, "http");
	cr_expect_eq(got.closed.lost, 4);
	cr_expect_str_eq(got.closed.detail, "why");
	cr_expect_eq(got.fd_count, 0);
	cr_expect_eq(ipc_receive(pair[1], &got), ERROR_BUSY);
}

Test(ipc, descriptors_travel_and_close_on_exec)
{
	struct message sent = {
		.type = MESSAGE_SLOT_DIED, .slot = { .slot = 3, .epoch = 9 }, .fds = { 0, 1 }, .fd_count = 2
	};
	struct message got;

	cr_assert_eq(ipc_send(pair[0], &sent), ERROR_NONE);
	cr_assert_eq(ipc_receive(pair[1], &got), ERROR_NONE);
	cr_assert_eq(got.fd_count, 2);
	for (int i = 0; i < got.fd_count; i++) {
		cr_expect(fcntl(got.fds[i], F_GETFD) & FD_CLOEXEC);
		close(got.fds[i]);
	}
	cr_expect_eq(got.slot.epoch, 9);
}

Test(ipc, malformed_datagrams_are_dropped_and_the_next_is_read)
{
	static const uint32_t datagrams[][4] = { { 2, 0, 0, 0 }, { 1, 999, 0, 0 }, { 1, MESSAGE_DRAIN, 0, 0 },
		{ 1, 0, 0, 0 } };
	static char huge[MESSAGE_BYTES_MAX + 100];
	struct message sent = { .type = MESSAGE_WORKER_READY }, got;
	size_t count = 0;

	cr_assert_eq(send(pair[0], "x", 1, 0), 1);
	cr_assert_eq(send(pair[0], huge, sizeof huge, 0), (ssize_t)sizeof huge);
	for (size_t i = 0; i < COUNT_OF(datagrams); i++)
		cr_assert_eq(send(pair[0], datagrams[i], sizeof datagrams[i], 0), (ssize_t)sizeof datagrams[i]);
	cr_assert_eq(ipc_send(pair[0], &sent), ERROR_NONE);
	while (ipc_receive(pair[1], &got) == ERROR_PROTOCOL)
		count++;
	cr_expect_eq(count, COUNT_OF(datagrams) + 2);
	cr_expect_eq(got.type, MESSAGE_WORKER_READY);
}

Test(ipc, texts_without_an_end_get_one)
{
	struct message sent = { .type = MESSAGE_WORKER_CLOSED }, got;

	memset(sent.closed.name, 'n', sizeof sent.closed.name);
	memset(sent.closed.detail, 'd', sizeof sent.closed.detail);
	cr_assert_eq(ipc_send(pair[0], &sent), ERROR_NONE);
	cr_assert_eq(ipc_receive(pair[1], &got), ERROR_NONE);
	cr_expect_eq(strlen(got.closed.name), sizeof got.closed.name - 1);
	cr_expect_eq(strlen(got.closed.detail), sizeof got.closed.detail - 1);
}

Test(ipc, a_receiver_that_does_not_read_is_full_and_one_that_left_is_closed)
{
	struct message sent = { .type = MESSAGE_WORKER_READY }, got;
	enum error e = ERROR_NONE;

	for (int i = 0; i < 100000 && e == ERROR_NONE; i++)
		e = ipc_send(pair[0], &sent);
	cr_expect_eq(e, ERROR_FULL);
	close(pair[1]);
	cr_expect_eq(ipc_send(pair[0], &sent), ERROR_CLOSED);
	cr_expect_eq(ipc_receive(pair[0], &got), ERROR_CLOSED);
}
