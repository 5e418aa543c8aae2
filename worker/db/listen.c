/* listen.c: the wake-ups that other hosts send with NOTIFY renovationd: one more connection that only listens. Opened by db_listen; when it comes
 * back after a loss, an empty payload says that something may have been missed. */
#include "config.h"

#include "worker/db/pool.h"

#include "shared/must.h"

void listen_receive(struct connection *c)
{
	struct db *db = c->db;
	PGnotify *note;
	while ((note = PQnotifies(c->pg)) != NULL) {
		if (db->on_notify && note->be_pid != PQbackendPID(c->pg))
			db->on_notify(db->notify_arg, text_of(note->extra));
		PQfreemem(note);
	}
	/* Its settings and LISTEN have just been answered: on_idle comes next and makes it READY. */
	if (c->state == CONNECTION_SETTING && c->count == 0 && c->has_been_open && db->on_notify)
		db->on_notify(db->notify_arg, TEXT(""));
}

void db_listen(struct db *db, void (*on_notify)(void *arg, struct text payload), void *arg)
{
	must(db->on_notify == NULL && on_notify != NULL);
	db->on_notify = on_notify;
	db->notify_arg = arg;
	struct connection *c = &db->connections[db->count];
	connection_init(c, db, CONNECTION_LISTENER, db->count);
	db->count++;
	connection_open_later(c, 0);
}
