-- Conversations, their messages, and the durable answers (turns) with their streamed events, model steps and tool calls.
-- Pointers inside one conversation (parent, question, answer, active turn) have no foreign key: all of these rows go with the conversation, and
-- a key in each direction would cost an index and a lookup at every message.

CREATE TABLE renovationd.conversations (
	id             uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id       uuid NOT NULL REFERENCES renovationd.owners (id) ON DELETE CASCADE,
	session_id     uuid,
	title          text NOT NULL DEFAULT '' CHECK (char_length(title) <= 200),
	title_source   text NOT NULL DEFAULT 'auto' CHECK (title_source IN ('auto', 'user')),
	is_default     boolean NOT NULL DEFAULT false,
	pinned         boolean NOT NULL DEFAULT false,
	archived_at    timestamptz,
	summary        text,
	summary_upto   bigint,
	active_turn_id uuid,
	queued_turns   int NOT NULL DEFAULT 0 CHECK (queued_turns >= 0),
	last_seq       bigint NOT NULL DEFAULT 0,
	chat_key       text CHECK (char_length(chat_key) BETWEEN 1 AND 128),
	created_at     timestamptz NOT NULL DEFAULT now(),
	updated_at     timestamptz NOT NULL DEFAULT now(),
	version        int NOT NULL DEFAULT 1,
	CONSTRAINT conversations_owned UNIQUE (owner_id, id),
	CONSTRAINT conversations_default_has_session CHECK (NOT is_default OR session_id IS NOT NULL),
	CONSTRAINT conversations_session FOREIGN KEY (owner_id, session_id)
		REFERENCES renovationd.renovation_sessions (owner_id, id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX conversations_default ON renovationd.conversations (session_id) WHERE is_default;
CREATE UNIQUE INDEX conversations_chat_key ON renovationd.conversations (owner_id, chat_key) WHERE chat_key IS NOT NULL;
CREATE INDEX conversations_recent ON renovationd.conversations (owner_id, updated_at DESC, id DESC);
CREATE INDEX conversations_by_session ON renovationd.conversations (session_id, id) WHERE session_id IS NOT NULL;
COMMENT ON TABLE renovationd.conversations IS 'A chat; each session has one default conversation, which goes with its session';
COMMENT ON COLUMN renovationd.conversations.last_seq IS 'seq of the newest message; taken by UPDATE ... RETURNING, so messages are numbered without a gap';
COMMENT ON COLUMN renovationd.conversations.active_turn_id IS 'The turn that runs or waits for approval; NULL when none';
COMMENT ON COLUMN renovationd.conversations.queued_turns IS 'Turns of status queued';
COMMENT ON COLUMN renovationd.conversations.chat_key IS 'The client''s own chat id (POST /api/chat)';

CREATE TABLE renovationd.chat_messages (
	id                uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id          uuid NOT NULL,
	conversation_id   uuid NOT NULL,
	session_id        uuid,
	seq               bigint NOT NULL,
	parent_id         uuid,
	role              text NOT NULL CHECK (role IN ('user', 'assistant', 'tool', 'system')),
	status            text NOT NULL DEFAULT 'complete' CHECK (status IN ('streaming', 'complete', 'partial', 'failed')),
	text              text NOT NULL DEFAULT '',
	parts             jsonb NOT NULL DEFAULT '[]',
	turn_id           uuid,
	model             text,
	input_tokens      int CHECK (input_tokens >= 0),
	output_tokens     int CHECK (output_tokens >= 0),
	provider_meta     jsonb,
	client_message_id text CHECK (char_length(client_message_id) BETWEEN 1 AND 128),
	content_hash      bytea,
	created_at        timestamptz NOT NULL DEFAULT now(),
	updated_at        timestamptz NOT NULL DEFAULT now(),
	version           int NOT NULL DEFAULT 1,
	CONSTRAINT chat_messages_order UNIQUE (conversation_id, seq),
	CONSTRAINT chat_messages_conversation FOREIGN KEY (owner_id, conversation_id)
		REFERENCES renovationd.conversations (owner_id, id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE
);
CREATE UNIQUE INDEX chat_messages_client_id ON renovationd.chat_messages (conversation_id, client_message_id)
	WHERE client_message_id IS NOT NULL;
COMMENT ON TABLE renovationd.chat_messages IS 'What was said, in order of seq';
COMMENT ON COLUMN renovationd.chat_messages.text IS 'The text deltas joined: equals what was streamed';
COMMENT ON COLUMN renovationd.chat_messages.parts IS 'UI-message parts, as the stream had them';
COMMENT ON COLUMN renovationd.chat_messages.provider_meta IS 'What the model wants back unchanged, such as thought signatures';
COMMENT ON COLUMN renovationd.chat_messages.content_hash IS 'sha256 of the question: the same client_message_id with other content is refused';

CREATE TABLE renovationd.turns (
	id                   uuid PRIMARY KEY DEFAULT renovationd.uuid7(),
	owner_id             uuid NOT NULL,
	conversation_id      uuid NOT NULL,
	user_message_id      uuid NOT NULL,
	assistant_message_id uuid,
	status               text NOT NULL DEFAULT 'queued'
		CHECK (status IN ('queued', 'running', 'waiting_approval', 'completed', 'failed', 'cancelled')),
	strategy             text NOT NULL DEFAULT 'enqueue' CHECK (strategy IN ('enqueue', 'reject', 'interrupt')),
	role                 text NOT NULL DEFAULT 'chat' CHECK (role IN ('chat', 'vision', 'structured', 'streaming')),
	provider             text,
	model                text,
	attempt              int NOT NULL DEFAULT 0 CHECK (attempt >= 0),
	lease_owner          text,
	lease_until          timestamptz,
	fence                bigint NOT NULL DEFAULT 0,
	cancel_requested_at  timestamptz,
	queued_deadline      timestamptz,
	step                 int NOT NULL DEFAULT 0 CHECK (step >= 0),
	day                  date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
	next_event           bigint NOT NULL DEFAULT 1 CHECK (next_event >= 1),
	reserved_tokens      int NOT NULL DEFAULT 0 CHECK (reserved_tokens >= 0),
	input_tokens         int CHECK (input_tokens >= 0),
	output_tokens        int CHECK (output_tokens >= 0),
	thinking_tokens      int CHECK (thinking_tokens >= 0),
	cached_tokens        int CHECK (cached_tokens >= 0),
	cost_micros          bigint CHECK (cost_micros >= 0),
	usage                jsonb,
	finish_reason        text,
	error                jsonb,
	started_at           timestamptz,
	first_chunk_at       timestamptz,
	ended_at             timestamptz,
	created_at           timestamptz NOT NULL DEFAULT now(),
	updated_at           timestamptz NOT NULL DEFAULT now(),
	version              int NOT NULL DEFAULT 1,
	CONSTRAINT turns_owned UNIQUE (owner_id, id),
	CONSTRAINT turns_running_is_leased CHECK (status <> 'running' OR lease_owner IS NOT NULL),
	CONSTRAINT turns_conversation FOREIGN KEY (owner_id, conversation_id)
		REFERENCES renovationd.conversations (owner_id, id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX turns_one_active ON renovationd.turns (conversation_id) WHERE status IN ('running', 'waiting_approval');
CREATE INDEX turns_unfinished ON renovationd.turns (status, lease_until) WHERE status IN ('queued', 'running', 'waiting_approval');
CREATE INDEX turns_leased ON renovationd.turns (lease_owner) WHERE status = 'running';
CREATE INDEX turns_order ON renovationd.turns (conversation_id, id);
COMMENT ON TABLE renovationd.turns IS 'One answer, from the question to its end; survives the process that writes it';
COMMENT ON COLUMN renovationd.turns.lease_owner IS 'The worker that writes it: host/instance/slot/epoch';
COMMENT ON COLUMN renovationd.turns.lease_until IS 'Another worker may take it over after this, or at once when the writer is known to be dead';
COMMENT ON COLUMN renovationd.turns.fence IS 'Grows with each take-over; every write of a turn names the fence it holds, so a writer that lost its lease changes nothing';
COMMENT ON COLUMN renovationd.turns.day IS 'Partition key of its chunks, fixed when the turn is made (UTC)';
COMMENT ON COLUMN renovationd.turns.next_event IS 'Number of the first event that is not in turn_chunks';
COMMENT ON COLUMN renovationd.turns.queued_deadline IS 'A queued turn that has not begun by then fails';
COMMENT ON COLUMN renovationd.turns.role IS 'Model role: which row of the model configuration answers';

CREATE TABLE renovationd.turn_chunks (
	day        date NOT NULL,
	turn_id    uuid NOT NULL,
	from_event bigint NOT NULL,
	to_event   bigint NOT NULL,
	body       bytea NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (day, turn_id, from_event),
	CONSTRAINT turn_chunks_span CHECK (from_event >= 1 AND to_event >= from_event)
) PARTITION BY RANGE (day);
-- Nothing fails when nobody made a day's partition in time: its chunks go here, and turn_chunks_ensure moves them.
CREATE TABLE renovationd.turn_chunks_default PARTITION OF renovationd.turn_chunks DEFAULT;
COMMENT ON TABLE renovationd.turn_chunks IS 'The events of turns as streamed, packed, append only, a partition a day that is dropped when its retention is over';
COMMENT ON COLUMN renovationd.turn_chunks.body IS 'Packed events from_event..to_event';

-- lz4 where this server was built with it, else the default compression.
DO $$ BEGIN
	IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
		ALTER TABLE renovationd.turn_chunks ALTER COLUMN body SET COMPRESSION lz4;
		ALTER TABLE renovationd.turn_chunks_default ALTER COLUMN body SET COMPRESSION lz4;
	END IF;
END $$;

-- Makes the partition of one day. Waits at most half a second for locks: a failure only leaves the day's chunks in the default partition.
-- Runs with the rights of the schema's owner, so that the server may run under a role that cannot create tables.
CREATE FUNCTION renovationd.turn_chunks_ensure(wanted date) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = renovationd, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
	part text := 'turn_chunks_' || to_char(wanted, 'YYYYMMDD');
BEGIN
	IF to_regclass('renovationd.' || part) IS NOT NULL THEN
		RETURN true;
	END IF;
	PERFORM pg_advisory_xact_lock(7275012345001);
	IF to_regclass('renovationd.' || part) IS NOT NULL THEN
		RETURN true;
	END IF;
	EXECUTE format('CREATE TABLE renovationd.%I (LIKE renovationd.turn_chunks INCLUDING ALL)', part);
	LOCK TABLE renovationd.turn_chunks_default IN ACCESS EXCLUSIVE MODE;
	EXECUTE format('WITH moved AS (DELETE FROM renovationd.turn_chunks_default WHERE day = %L RETURNING *)
		INSERT INTO renovationd.%I SELECT * FROM moved', wanted, part);
	EXECUTE format('ALTER TABLE renovationd.turn_chunks ATTACH PARTITION renovationd.%I FOR VALUES FROM (%L) TO (%L)',
		part, wanted, wanted + 1);
	RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected OR duplicate_table THEN
	RETURN false;
END $$;
COMMENT ON FUNCTION renovationd.turn_chunks_ensure(date) IS 'Makes the partition of a day if it is missing; false when it could not now';

-- The daily care: partitions for today and `ahead` days more, and none older than `keep`. Called by a background job; safe to call at any time.
CREATE FUNCTION renovationd.turn_chunks_maintain(ahead int, keep interval) RETURNS int
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = renovationd, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
	today   date := (now() AT TIME ZONE 'UTC')::date;
	-- A turn's chunks stay in the partition of the day it was asked: one more day, so that a turn over midnight is kept in full.
	oldest  date := ((now() - keep) AT TIME ZONE 'UTC')::date - 1;
	part    text;
	dropped int := 0;
BEGIN
	FOR i IN 0..ahead LOOP
		PERFORM renovationd.turn_chunks_ensure(today + i);
	END LOOP;
	BEGIN
		FOR part IN
			SELECT c.relname FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid
			WHERE h.inhparent = 'renovationd.turn_chunks'::regclass AND c.relname ~ '^turn_chunks_[0-9]{8}$'
				AND to_date(right(c.relname, 8), 'YYYYMMDD') < oldest
		LOOP
			EXECUTE format('DROP TABLE renovationd.%I', part);
			dropped := dropped + 1;
		END LOOP;
		DELETE FROM renovationd.turn_chunks_default WHERE day < oldest;
	EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
		dropped := 0;
	END;
	RETURN dropped;
END $$;
COMMENT ON FUNCTION renovationd.turn_chunks_maintain(int, interval) IS 'Makes the partitions of the next days and drops those past their retention; returns how many it dropped';
SELECT renovationd.turn_chunks_maintain(7, interval '24 hours');

CREATE TABLE renovationd.turn_steps (
	turn_id       uuid NOT NULL REFERENCES renovationd.turns (id) ON DELETE CASCADE,
	step          int NOT NULL CHECK (step >= 0),
	model_parts   jsonb NOT NULL,
	usage         jsonb,
	finish_reason text,
	first_event   bigint NOT NULL DEFAULT 1,
	created_at    timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (turn_id, step)
);
COMMENT ON TABLE renovationd.turn_steps IS 'One answer of the model within a turn, stored before its tools run';
COMMENT ON COLUMN renovationd.turn_steps.model_parts IS 'The model''s own parts with thought signatures, as they go back into the history';

CREATE TABLE renovationd.tool_calls (
	owner_id         uuid NOT NULL,
	turn_id          uuid NOT NULL,
	step             int NOT NULL CHECK (step >= 0),
	ordinal          int NOT NULL CHECK (ordinal >= 0),
	provider_call_id text,
	tool             text NOT NULL,
	args             jsonb NOT NULL,
	args_hash        bytea NOT NULL,
	status           text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'approved', 'denied', 'ok', 'error')),
	result           jsonb,
	approval_by      uuid,
	error            jsonb,
	latency_ms       int CHECK (latency_ms >= 0),
	created_at       timestamptz NOT NULL DEFAULT now(),
	updated_at       timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (turn_id, step, ordinal),
	CONSTRAINT tool_calls_turn FOREIGN KEY (owner_id, turn_id)
		REFERENCES renovationd.turns (owner_id, id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE
);
COMMENT ON TABLE renovationd.tool_calls IS 'A function the model asked for; goes from pending to ok in the transaction of its effect, so the effect comes exactly once';
COMMENT ON COLUMN renovationd.tool_calls.args_hash IS 'sha256 of the arguments: another hash under the same key is a broken promise and fails the turn';
