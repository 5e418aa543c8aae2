/* turn.h: one answer as its writer holds it, and what the files of this folder do with it. Internal to chat/; the world uses chat.h.
 * A turn is created by ask.c, by the end of the one before it (finish.c) or by takeover.c, and destroyed when its end is stored or it has lost its lease. */
#ifndef RENOVATIOND_WORKER_CHAT_TURN_H
#define RENOVATIOND_WORKER_CHAT_TURN_H

#include "worker/chat/shown.h"
#include "worker/chat/breaker.h"
#include "worker/chat/chat.h"
#include "worker/chat/prompt.h"
#include "worker/chat/ring.h"
#include "worker/db/db.h"
#include "worker/gemini/provider.h"
#include "worker/tools/tools.h"

struct reader;
struct turn;

#define TURN_BUCKETS 1024

/* The chat of one worker. */
struct chat {
	struct worker *w;                   /* borrowed */
	struct rings *rings;                /* the shared area */
	struct turn *buckets[TURN_BUCKETS]; /* live turns by id */
	size_t turn_count;                  /* of them */
	uint32_t *dirty;                    /* rings with events that no reader was told of yet */
	size_t dirty_count;                 /* of them */
	bool *is_dirty;                     /* by ring index */
	struct event *flush;                /* tells them, at the end of the loop turn */
	struct buffer scratch;              /* one part's JSON while it is made */
	struct buffer read_room;            /* one event's JSON while it is read */
	struct reader **followers;          /* by ring index: readers on this worker */
	struct reader *waiting;             /* readers of turns that have no ring here (yet) */
	struct reader *readers;             /* all of them */
	size_t reader_count;                /* of them */
	struct event *tick;                 /* every second: sweep, slow look at the rings */
	struct event *peek;                 /* every 200 ms while readers wait for a ring */
	struct event *renew;                /* leases */
	struct db_query *renew_query;       /* in flight */
	struct db_query *sweep_query;       /* in flight */
	bool sweeps_again;                  /* turns were released while it was */
	struct db_query *queue_query;       /* in flight */
	int ticks;                          /* since open */
	struct claim *claims;               /* take-overs in flight (takeover.c) */
	struct begin *begins;               /* idle conversations being woken (takeover.c) */
	struct model_tool *declarations;    /* of tools.c, tool_count of them */
	char **schemas;                     /* their parameters, owned */
	double bytes_per_token;             /* learned from usage */
	bool is_draining;                   /* this worker leaves: readers are sent elsewhere */
	bool is_stop;                       /* the service stops, not only this worker */
	bool is_counted;                    /* what a stop loses was counted */
	bool is_hastened;                   /* readers: the drain is to end soon */
	bool has_turns_leaving;             /* `turns` was asked to close */
	bool is_late;                       /* the turns of the drain have had their time */
	bool has_no_clients;                /* of the drain: no connection is left that could ask for more */
	bool is_released;                   /* leases are given back: nothing new is begun */
	struct event *drain_timer;          /* when readers are told to reconnect */
	struct event *release_timer;        /* when turns are given up */
	struct db_query *release_query;     /* in flight */
};

enum turn_state {
	TURN_LOADING,   /* history, and after a take-over what was done, are on their way */
	TURN_WAITING,   /* for a retry's delay, a breaker, or a free ring */
	TURN_ASKING,    /* the model works; nothing of this attempt was shown */
	TURN_STREAMING, /* the model writes; text is shown */
	TURN_SETTLING,  /* the model is done; a checkpoint under way must end first */
	TURN_STORING,   /* the step is being stored */
	TURN_ACTING,    /* its tools run, one after the other */
	TURN_FINISHING, /* the end is being stored, or the database is asked why it takes no more writes */
	TURN_ENDED      /* stored or lost; about to be freed */
};

/* A call of the current step. */
struct turn_call {
	struct buffer id; /* the provider's; empty with has_id false */
	struct buffer name;
	struct buffer arguments; /* JSON object as the model wrote it */
	bool has_id;
	bool is_done; /* its result is stored and in the prompt */
};

/* Attempts of one model step (model.c). */
struct model_run {
	int attempt;        /* of this step, from 1 */
	int64_t delayed_ms; /* waited for retries so far */
	bool no_tool_calls; /* after malformed calls */
	int malformed;      /* answers with malformed calls */
	int empty;          /* answers without anything */
	int counted;        /* attempts made because of failures that are worth only so many (model_event.retries) */
	unsigned skipped;   /* bit i: model i of the role is of no use for this step */
	const char *model;  /* of the attempt in flight; the role's own string */
	struct scoreboard_breaker *breaker; /* of that model; NULL when none */
	struct model_call *call;            /* in flight */
	bool is_text_shown;                 /* of this attempt */
	int64_t started_us;                 /* monotonic: when the attempt began */
	int64_t chunk_us;                   /* monotonic: its last text or call; 0 = none yet */
};

struct turn {
	struct chat *chat;
	struct turn *next_in_bucket;
	struct uuid id, owner, conversation, session, message, answer_id;
	bool has_session;
	char id_text[UUID_TEXT_BYTES];
	char conversation_text[UUID_TEXT_BYTES];
	char request_id[REQUEST_ID_BYTES]; /* of who asked, for the log; "" after a take-over and out of the queue */
	char trace_id[33];                 /* W3C: what the calls of the model carry */
	uint64_t fence;
	enum model_role role;
	int attempt; /* take-overs before this one */
	enum turn_state state;
	struct ring *ring;    /* ours while the turn lives; NULL while none is free */
	struct shown shown;   /* what was shown */
	struct prompt prompt; /* what the model is told */
	bool is_loaded;       /* the history is there */
	bool is_resumed;      /* taken over: stored steps and events come first */
	int step;             /* of the model, from 1; the one under way */
	int stored_steps;     /* of them in turn_steps */
	struct model_run run;
	struct buffer step_parts; /* the model's parts of this step, JSON array, to be stored */
	struct buffer unfinished; /* text of this step from before a take-over; goes before what the model adds */
	struct buffer seam;       /* first text after a take-over, held back until overlap is ruled out */
	bool is_seam;
	char *model;                                   /* that answered last; owned */
	struct turn_call *calls;                       /* of this step */
	size_t call_count, call_at;                    /* how many; which one is next */
	struct tool_run *tool;                         /* in flight */
	int64_t input_tokens, output_tokens;           /* of all stored steps */
	int64_t step_input_tokens, step_output_tokens; /* of the one under way */
	struct buffer backlog;                         /* packed events that the ring had no room for */
	struct db_query *query;                        /* of the state: load, store, finish */
	struct db_query *checkpoint;                   /* in flight; NULL when none */
	uint64_t checkpoint_to;                        /* what it stores up to */
	struct event *checkpoint_timer;
	size_t unstored_bytes; /* appended since the last checkpoint began */
	struct event *timer;   /* of the state: retries of model and database */
	void (*on_timer)(struct turn *t);
	int failures;        /* of the database in a row */
	int64_t state_us;    /* monotonic: since when it is in its state */
	int64_t tool_us;     /* monotonic: when the tool in flight began */
	bool is_first_shown; /* the time to its first text was counted */
	int64_t started_ms;  /* monotonic */
	int64_t deadline_ms; /* monotonic; chat_timeout_ms after it began */
	struct event *deadline;
	bool is_cancelled; /* asked for */
	/* The end, once known. */
	bool is_ending;             /* the fields below are set */
	bool is_crippled;           /* the end could not be stored as it is: without steps and parts */
	const char *end_status;     /* completed failed cancelled */
	const char *finish_reason;  /* stop length content-filter error, NULL when cancelled */
	const char *message_status; /* complete partial failed */
	struct buffer end_error;    /* JSON of turn.error; empty = none */
	enum error end_code;        /* for the parts */
	int retry_after_s;
	struct buffer refusal;    /* reason of a filtered answer */
	bool has_step_to_store;   /* step_parts goes with the end */
	struct buffer end_events; /* packed: what is appended to the ring once the end is stored */
};

/* What every log line about a turn says of it. */
#define TURN_LOG_FIELDS(t)                                                                                             \
	F_STR("turn_id", (t)->id_text), F_STR("conversation_id", (t)->conversation_text),                              \
		F_TEXT("request_id", (t)->request_id[0] != '\0' ? text_of((t)->request_id) : TEXT_NONE),               \
		F_STR("trace_id", (t)->trace_id)

/* chat.c */
void timer_in(struct event *timer, int64_t ms); /* (again) in so many milliseconds */
struct turn *chat_find(struct chat *chat, const struct uuid *id);
void chat_add(struct chat *chat, struct turn *t);
void chat_remove(struct chat *chat, struct turn *t);
void chat_mark_dirty(
	struct chat *chat, const struct ring *ring); /* its readers are woken at the end of the loop turn */
void chat_each_turn(struct chat *chat, void (*fn)(struct turn *t)); /* `fn` may destroy it */
void chat_live_leases(const struct chat *chat, struct buffer *out); /* text[] of the host's living workers */
bool chat_lease_of(const struct chat *chat, int slot, uint64_t epoch, char out[96]);
bool chat_is_lowest(const struct chat *chat); /* the sweep is ours */

/* turn.c */
struct turn_row {
	struct uuid id, owner, conversation, session, message, answer;
	bool has_session;
	uint64_t fence;
	enum model_role role;
	int attempt;
	bool is_cancelled;
	int64_t age_ms;
	const char *trace_id;   /* W3C, of the request that asked; NULL: the turn's id serves as one */
	const char *request_id; /* likewise; NULL: none is known */
};
/* From the columns that turn_next and the claims share, beginning with `ended`. False when the row is empty. */
bool turn_row_read(const struct db_result *r, int row, struct turn_row *out);
/* Begins to write. `ring` is claimed for it, or NULL: then one is found, taken over or claimed. */
void turn_create(struct chat *chat, const struct turn_row *row, struct ring *ring, bool is_resumed);
/* Without any event, and the ring stays: another worker has it, or nobody until its lease lapses. */
void turn_drop(struct turn *t, const char *why);
void turn_end(struct turn *t);          /* its end is stored and shown */
void turn_load_history(struct turn *t); /* then takeover_resume or the next step */
void turn_no_timer(struct turn *t);
bool turn_is_left(struct turn *t); /* this worker has given its turns back: drops it, true */
void turn_write_usage(const struct turn *t, struct buffer *out); /* of the step, JSON */
void turn_set_state(struct turn *t, enum turn_state state);
void turn_cancel(struct turn *t);
void turn_begin_step(struct turn *t); /* the next call of the model */
void turn_run_tools(struct turn *t);  /* goes on with the calls of the stored step */
void turn_on_text(struct turn *t, struct text delta);
void turn_on_model_done(struct turn *t, const struct model_event *event);
void turn_settled(struct turn *t); /* nothing is under way to the database: store the step or the end */
void turn_clear_calls(struct turn *t);
struct turn_call *turn_add_call(struct turn *t);
void turn_call_name(const struct turn *t, size_t ordinal, char out[80]); /* our own id of a call */
/* Calls `fn` after a while; one at a time. */
void turn_later(struct turn *t, int64_t after_ms, void (*fn)(struct turn *t));
/* The database did not take a write: `fn` again with growing delay; false when the error says that it never will. */
bool turn_retry_later(struct turn *t, enum error e, void (*fn)(struct turn *t));

/* emit.c: one event to ring, answer and readers. */
void emit_json(struct turn *t, struct text json);
void emit_start(struct turn *t);
void emit_start_step(struct turn *t);
void emit_text(struct turn *t, struct text delta);
void emit_text_end(struct turn *t);
void emit_tool_input(struct turn *t, size_t ordinal);
void emit_tool_result(struct turn *t, size_t ordinal, bool is_ok, struct text result);
void emit_finish_step(struct turn *t);
void emit_flush_backlog(struct turn *t);

/* checkpoint.c */
void checkpoint_note(struct turn *t, size_t bytes); /* events were appended */
void checkpoint_start(struct turn *t);              /* at once, unless one is under way or nothing is unstored */
/* Packs what is in the ring and not in chunks: from_out..to_out; empty when to < from. */
void checkpoint_pack(struct turn *t, struct buffer *chunk, uint64_t *from_out, uint64_t *to_out);
/* Calls turn_settled when no checkpoint is under way and the backlog is in the ring. */
void checkpoint_settle(struct turn *t);

/* leave.c */
void leave_open(struct chat *chat);       /* registers with the shutdown coordinator */
void leave_drop_turns(struct chat *chat); /* at the very end */
void leave_drop_turn(struct turn *t);     /* gives one back */
void chat_turn_gone(struct chat *chat);   /* one less: the drain may be over */
void chat_reader_gone(struct chat *chat);
bool chat_takes_questions(const struct chat *chat); /* a drain goes on answering, a stop does not */
void leave_late_question(struct chat *chat);        /* a turn has begun; it is given back when all others were */
void leave_options_changed(struct chat *chat);

/* model.c */
void model_start(struct turn *t); /* an attempt now, or later, or the turn fails */
void model_stop(struct turn *t);  /* cancels what is in flight */
/* Is any model of the role to be tried now? Else *retry_in_ms_out says when. */
bool model_is_available(struct chat *chat, enum model_role role, int64_t *retry_in_ms_out);

/* measure.c */
void measure_turn_begin(struct turn *t);
void measure_turn_state(struct turn *t);            /* it is about to leave its state */
void measure_turn_text(struct turn *t);             /* text is about to be shown */
void measure_turn_end(struct turn *t, int outcome); /* 0 completed, 1 failed, 2 cancelled */
void measure_call_begin(struct turn *t);
void measure_call_chunk(struct turn *t);
/* `outcome`: enum scoreboard_outcome, or a model_failure, which is the same number. */
void measure_call_end(struct turn *t, int outcome, const struct model_usage *usage);
void measure_call_retry(struct turn *t);
void measure_tool_begin(struct turn *t);
void measure_tool_end(struct turn *t, struct text name, bool is_ok);

/* finish.c */
void finish_completed(struct turn *t, const char *finish_reason);
void finish_filtered(struct turn *t, struct text reason, bool is_prompt);
void finish_failed(struct turn *t, enum error code, int retry_after_s);
void finish_cancelled(struct turn *t);
void finish_store(struct turn *t); /* from turn_settled */
/* Its row was deleted: nothing is stored, and readers see the end of a cancelled answer. */
void finish_gone(struct turn *t);

/* lost.c */
/* A write found no row that is ours: asks why, and until then nothing of the turn goes on. `what` was written. */
void turn_lost(struct turn *t, const char *what);
void turn_gone(struct turn *t); /* its row is known to be deleted: it ends at once */

/* stored.c */
/* A row of turn_stored. */
struct stored_turn {
	struct uuid turn, answer;            /* ids of the turn and its message */
	struct text status;                  /* completed failed cancelled */
	struct text finish_reason;           /* of the turn; NONE when cancelled */
	struct text error;                   /* JSON of turn.error; NONE = none */
	struct text parts;                   /* JSON array, of the message */
	int64_t input_tokens, output_tokens; /* of the turn */
};
typedef void(stored_event_fn)(void *arg, struct text json);
/* The events of a finished turn that are left to tell once its chunks are gone, each text and tool whole, as parts of the live stream. Pure. */
void stored_tell(const struct stored_turn *s, stored_event_fn *event, void *arg);

/* takeover.c */
void takeover_resume(struct turn *t); /* reads what the dead writer has left, then goes on */
void takeover_claim_dead(struct chat *chat, int slot, uint64_t epoch);
/* After our leases were renewed: what has our lease and lapsed all the same is nobody's. */
void takeover_adopt(struct chat *chat);
void takeover_sweep(struct chat *chat);
void takeover_released(struct chat *chat); /* another worker has given its turns back */
void takeover_close(struct chat *chat);

/* reader.c */
struct reader_request {
	struct uuid owner, turn;
	uint64_t after; /* the first event is after + 1 */
	bool is_rewind; /* the client's place makes no sense: tell it to forget */
	bool is_known;  /* the turn is known to be the owner's: no need to ask */
	bool wants_204; /* nothing after `after` in a finished turn: 204 instead of a stream */
};
/* Answers the request, now or when the database has told enough. */
void reader_open(struct chat *chat, struct request *rq, const struct reader_request *request);
void readers_pump(struct chat *chat, uint32_t ring_index);
void readers_peek(struct chat *chat); /* those that wait for a ring */
void readers_look(struct chat *chat); /* all rings, in case a wake-up was lost */
void readers_send_away(struct chat *chat);
bool readers_move_one(struct chat *chat); /* one whose turn is written elsewhere; false when there is none */

/* turns.c */
void cancel_wake(struct chat *chat, const struct uuid *turn);   /* whoever writes it on this host stops it */
void cancel_start(struct request *rq, const struct uuid *turn); /* answers the request */

/* ask.c */
struct ask_question {
	struct text content;   /* as ask_check_content wants it; borrowed from the request */
	struct text client_id; /* clientMessageId, TEXT_NONE without one */
	bool has_key;          /* client_id is the request's Idempotency-Key */
};
/* Asks for the facade, whose route has asked chat_admits, and answers with the stream. */
void ask_start(struct request *rq, const struct uuid *conversation, const struct ask_question *question);
/* The same for a question that was asked before: that of the message with this id (a question or an answer, our id or the client's), TEXT_NONE: the newest. */
void ask_again(struct request *rq, const struct uuid *conversation, struct text message_id);
/* A question without an id of its own has the Idempotency-Key for one. False: the key is malformed, which is answered. */
bool ask_read_key(struct request *rq, struct ask_question *q);
/* 1 to 32,000 characters; 1 to 128 printable ones. False: the problem is answered. */
bool ask_check_content(struct request *rq, struct text content, const char *path);
bool ask_check_client_id(struct request *rq, struct text id, const char *path);

#endif
